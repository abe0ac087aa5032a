package image

import (
	"testing"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
)

// The table is the one that layout and docs/image-format.md describe.
func TestNewTable(t *testing.T) {
	var root verity.RootHash
	for i := range root {
		root[i] = byte(i)
	}
	size := diskSize()
	if size%layout.ImageMultiple != 0 {
		t.Errorf("diskSize() = %d; want a multiple of %d", size, layout.ImageMultiple)
	}
	table := newTable("1.0", root, size)
	for _, test := range []struct {
		number int
		label  string
		size   int64
	}{
		{layout.NumESP, "ESP", 512 << 20},
		{layout.NumBIOS, "BIOS", 2 << 20},
		{layout.NumUsrA, "ketch_1.0", 1 << 30},
		{layout.NumVerityA, "ketch_1.0_verity", 16 << 20},
		{layout.NumUsrB, "_empty", 1 << 30},
		{layout.NumVerityB, "_empty", 16 << 20},
		{layout.NumBoot, "ketch_boot", 1 << 20},
	} {
		p := table.Partitions[test.number-1]
		if p.Name != test.label || p.Size(sectorSize) != test.size || p.Offset(sectorSize)%layout.Alignment != 0 {
			t.Errorf("partition %d is %q, %d bytes at %d; want %q, %d bytes, aligned", test.number, p.Name, p.Size(sectorSize), p.Offset(sectorSize), test.label, test.size)
		}
	}
	state := table.Partitions[layout.NumState-1]
	if end := state.Offset(sectorSize) + state.Size(sectorSize); state.Size(sectorSize) < layout.MinState || end != size-layout.Alignment {
		t.Errorf("state has %d bytes and ends at %d of %d", state.Size(sectorSize), end, size)
	}
	// UAPI.2: the two halves of the root hash, in the order of the text.
	if got := table.Partitions[layout.NumUsrA-1].ID.String(); got != "00010203-0405-0607-0809-0a0b0c0d0e0f" {
		t.Errorf("usr has UUID %s", got)
	}
	if got := table.Partitions[layout.NumVerityA-1].ID.String(); got != "10111213-1415-1617-1819-1a1b1c1d1e1f" {
		t.Errorf("verity has UUID %s", got)
	}
	seen := map[gpt.GUID]bool{table.DiskID: true}
	for i, p := range table.Partitions {
		if seen[p.ID] {
			t.Errorf("partition %d has a UUID that stands in the table twice", i+1)
		}
		seen[p.ID] = true
	}
}
