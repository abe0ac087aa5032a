package main

import (
	"strings"
	"testing"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
)

func TestPrintBootRecord(t *testing.T) {
	r := &bootrecord.Record{Generation: 5}
	r.Count(verity.RootHash{1}, "1.0", "ketch_1.0")
	for want, r := range map[string]*bootrecord.Record{
		"":                       nil,
		"\nboot record\tempty\n": {},
		"\nboot record\tgeneration 5\n  1.0\t1 starts, 0 good, 1 since it was good; the last: " + bootrecord.Silent + "\n": r,
	} {
		var out strings.Builder
		if printBootRecord(&out, r); out.String() != want {
			t.Errorf("printBootRecord = %q; want %q", &out, want)
		}
	}
}
