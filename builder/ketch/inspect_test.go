package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/update/release"
)

func TestPrintBootRecord(t *testing.T) {
	r := &bootrecord.Record{Generation: 5}
	r.Count(verity.RootHash{1}, "1.0", "ketch_1.0")
	for want, r := range map[string]*bootrecord.Record{
		"":                       nil,
		"\nboot record  empty\n": {},
		"\nboot record  generation 5\n  1.0        1 starts, 0 good, 1 since it was good; the last: " + bootrecord.Silent + "\n": r,
	} {
		var out strings.Builder
		w := printable.NewTable(&out)
		printBootRecord(w, r)
		if w.Flush(); out.String() != want {
			t.Errorf("printBootRecord = %q; want %q", &out, want)
		}
	}
}

// TestForgedReport: whatever a disk says of itself, no line of the report is its own
// but those that begin as ours do.
func TestForgedReport(t *testing.T) {
	const forged = "x\n  signed by\tsomebody honest\r\x1b[2J\u009b2J\n"
	record := &bootrecord.Record{Generation: 5}
	record.Count(verity.RootHash{1}, "1\nsigned by\thonest", "e").Fail(forged, time.Unix(1, 0))
	var out strings.Builder
	err := printReport(&out, &image.Report{
		DiskID: forged, State: forged, Damage: []string{forged}, BootRecord: record,
		Partitions: []image.PartitionReport{{Label: forged, Kind: forged, ID: forged}},
		Entries: []image.EntryReport{{Path: forged, Error: forged}, {Path: forged, Version: forged, Tries: forged, Kernel: forged, Cmdline: forged,
			RootHash: forged, Slot: forged, Contents: forged, Images: []release.Input{{Ref: forged, Digest: forged}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(strings.TrimSpace(line), "signed by") || strings.ContainsAny(line, "\r\x1b\u009b") {
			t.Errorf("a disk has written a line of the report: %q", line)
		}
	}
}
