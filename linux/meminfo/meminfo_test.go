package meminfo

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/pid1"
)

func TestParse(t *testing.T) {
	got, err := parse(strings.NewReader("MemTotal:         491692 kB\nMemFree:   1 kB\nMemAvailable:     450000 kB\nHugePages_Total:       0\n"))
	want := &pid1.Memory{TotalKiB: 491692, AvailableKiB: 450000, UsedKiB: 41692}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("parse: %v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"", "MemTotal: 1 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB\n", "MemTotal: 1 kB\nMemAvailable:\n"} {
		if got, err := parse(strings.NewReader(bad)); err == nil {
			t.Errorf("parse(%q) = %+v; want an error", bad, got)
		}
	}
}

func TestRead(t *testing.T) {
	if got, err := Read(Path); err != nil || got.TotalKiB <= 0 || got.UsedKiB >= got.TotalKiB {
		t.Errorf("Read = %+v, %v", got, err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Read of no file = nil; want an error")
	}
}
