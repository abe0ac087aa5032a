package image

import (
	"testing"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
)

// The table is that of the plan, with a version in slot A.
func TestNewTable(t *testing.T) {
	for _, sectorSize := range []int64{512, 4096} {
		testNewTable(t, sectorSize)
	}
}

func testNewTable(t *testing.T, sectorSize int64) {
	t.Helper()
	var root verity.RootHash
	for i := range root {
		root[i] = byte(i)
	}
	size := diskSize()
	if size%layout.ImageMultiple != 0 {
		t.Errorf("diskSize() = %d; want a multiple of %d", size, layout.ImageMultiple)
	}
	table := newTable("1.0", root, size, sectorSize)
	for i, row := range layout.AMD64.Partitions() {
		label, size := row.Label, row.Size
		switch i + 1 {
		case layout.NumUsrA:
			label = "ketch_1.0"
		case layout.NumVerityA:
			label = "ketch_1.0_verity"
		case layout.NumState:
			size = table.Partitions[i].Size(sectorSize) // the rest: see below
		}
		p := table.Partitions[i]
		if p.Name != label || p.Type.String() != row.Type || p.Size(sectorSize) != size || p.Attributes != 0 || p.Offset(sectorSize)%layout.Alignment != 0 {
			t.Errorf("partition %d is %+v; want %q, %d bytes, aligned, type %s", i+1, p, label, size, row.Type)
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
	// docs/image-format.md, "Identifiers": SHA-256(root hash ‖ "partition usr B"), version 8.
	if got, want := table.Partitions[layout.NumUsrB-1].ID.String(), "48c2b347-c52c-8df8-8c13-b9655e9f1112"; got != want {
		t.Errorf("usr of slot B has UUID %s; want %s", got, want)
	}
	seen := map[gpt.GUID]bool{table.DiskID: true}
	for i, p := range table.Partitions {
		if seen[p.ID] {
			t.Errorf("partition %d has a UUID that stands in the table twice", i+1)
		}
		seen[p.ID] = true
	}
}
