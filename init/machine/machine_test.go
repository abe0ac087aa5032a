package machine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
)

func TestHandoff(t *testing.T) {
	first := New()
	first.Facts = Facts{Version: "1.0", Development: true, SecureBoot: true, RootHash: "ab", Disk: "vda", CountPath: `\EFI\Linux\x+2-1.efi`}
	first.Timeline.Add(pid1.StageInitramfs, "slot", 0, nil)
	record := &bootrecord.Record{Generation: 7, Asked: verity.RootHash{1}}
	record.Count(verity.RootHash{2}, "1.0", "ketch_1.0")
	first.SetRecord(record)
	first.Degrade("boot record: no disk")
	env, err := first.Handoff()
	if err != nil {
		t.Fatal(err)
	}
	second, err := Resume(func(name string) string {
		value, _ := strings.CutPrefix(env[0], name+"=")
		return value
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Facts, second.Facts); diff != "" {
		t.Errorf("facts (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(first.Timeline.Boot(), second.Timeline.Boot()); diff != "" {
		t.Errorf("timeline (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(first.Record(), second.Record()); diff != "" {
		t.Errorf("boot record (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(first.Degraded(), second.Degraded()); diff != "" {
		t.Errorf("degraded (-first +second):\n%s", diff)
	}
	if _, err := Resume(func(string) string { return "" }); err == nil {
		t.Error("Resume of nothing = nil; want an error")
	}
}

func TestDegrade(t *testing.T) {
	m := New()
	m.Degrade("no %s", "disk")
	m.Degrade("no disk")
	m.Degrade("no net")
	if diff := cmp.Diff([]string{"no disk", "no net"}, m.Degraded()); diff != "" {
		t.Errorf("Degraded (-want +got):\n%s", diff)
	}
	m.Recover("no disk")
	m.Recover("never said")
	if diff := cmp.Diff([]string{"no net"}, m.Degraded()); diff != "" {
		t.Errorf("Degraded after Recover (-want +got):\n%s", diff)
	}
	m.Feed() // without a watchdog
}
