package slot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/blockdev"
	"github.com/ketch-os/ketch/update/release"
)

func testRoot(t *testing.T) verity.RootHash {
	t.Helper()
	root, err := verity.ParseRootHash("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestMatch(t *testing.T) {
	root := testRoot(t)
	usr, hash := release.SlotIDs(root)
	esp := gpt.MustParseGUID("11111111-2222-3333-4444-555555555555")
	arch := native()
	table := func(usrType, hashType string) *gpt.Table {
		return &gpt.Table{SectorSize: 512, Partitions: []gpt.Partition{
			{Type: gpt.MustParseGUID(layout.TypeESP), ID: esp, First: 2048, Last: 4095},
			{},
			{Type: gpt.MustParseGUID(usrType), ID: usr, First: 4096, Last: 6143},
			{Type: gpt.MustParseGUID(hashType), ID: hash, First: 6144, Last: 8191},
		}}
	}
	disk := blockdev.Disk{Name: "nvme0n1", Partitions: map[int]string{1: "nvme0n1p1", 3: "nvme0n1p3", 4: "nvme0n1p4"}}
	want := Slot{"nvme0n1", "A", "/dev/nvme0n1p3", "/dev/nvme0n1p4", 1 << 20, 1 << 20, true, 0}
	got, ok := match(table(arch.Usr, arch.UsrVerity), disk, root, Origin{ESP: esp})
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("match: %v (-want +got):\n%s", ok, diff)
	}
	if got, ok := match(table(arch.Usr, arch.UsrVerity), disk, root, Origin{}); !ok || got.Booted {
		t.Errorf("match without an ESP = %+v, %v; want it, not booted", got, ok)
	}
	if got, ok := match(table(layout.TypeState, arch.UsrVerity), disk, root, Origin{ESP: esp}); ok {
		t.Errorf("match of another type = %+v; want none", got)
	}
	delete(disk.Partitions, 4)
	if got, ok := match(table(arch.Usr, arch.UsrVerity), disk, root, Origin{ESP: esp}); ok {
		t.Errorf("match without a node = %+v; want none yet", got)
	}
}

func TestChoose(t *testing.T) {
	esp := gpt.MustParseGUID("11111111-2222-3333-4444-555555555555")
	copied, booted := Slot{Disk: "sda"}, Slot{Disk: "sdb", Booted: true}
	for _, test := range []struct {
		name  string
		found []Slot
		esp   gpt.GUID
		over  bool
		want  string // "": none yet
	}{
		{"nothing there", nil, esp, true, ""},
		{"booted disk among two", []Slot{copied, booted}, esp, false, "sdb"},
		{"booted disk not there yet", []Slot{copied}, esp, false, ""},
		{"booted disk never comes", []Slot{copied}, esp, true, "sda"},
		{"booted disk unknown", []Slot{copied}, gpt.GUID{}, false, "sda"},
	} {
		got, ok := choose(test.found, Origin{ESP: test.esp}, test.over)
		if got.Disk != test.want || ok != (test.want != "") {
			t.Errorf("choose(%s) = %q, %v; want %q", test.name, got.Disk, ok, test.want)
		}
	}
}

// TestWaitGivesUp runs against the disks of the machine: none has this slot.
func TestWaitGivesUp(t *testing.T) {
	_, err := Wait(testRoot(t), Origin{}, 0)
	if err == nil || !strings.Contains(err.Error(), "00010203-0405-0607-0809-0a0b0c0d0e0f") {
		t.Errorf("Wait = %v; want an error that names the partition", err)
	}
}
