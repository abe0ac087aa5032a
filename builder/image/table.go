package image

import (
	"cmp"
	"crypto/sha256"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/internal/guid"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// derive makes an identifier from the root hash of usr and a name, in the form
// of a UUID of version 8 (RFC 9562, 5.8): the same content has the same
// identifiers in every build, and ketch verify can compute them again.
func derive(root [32]byte, name string) [16]byte {
	sum := sha256.Sum256(append(root[:], name...))
	return guid.Stamp([16]byte(sum[:16]), 8)
}

// diskSize is the size of an image in bytes: what the partitions need, rounded up.
func diskSize() int64 {
	size := int64(2*layout.Alignment + layout.MinState) // two copies of the table, each in the first or last MiB
	for _, row := range layout.AMD64.Partitions() {
		size += row.Size
	}
	return (size + layout.ImageMultiple - 1) / layout.ImageMultiple * layout.ImageMultiple
}

// newTable lays the plan out on a disk of size bytes in sectors of sectorSize, with
// a version in slot A.
func newTable(version string, root verity.RootHash, size, sectorSize int64) *gpt.Table {
	t := &gpt.Table{
		DiskID:     gpt.UUID(derive(root, "disk")),
		SectorSize: sectorSize,
		Sectors:    uint64(size / sectorSize),
	}
	at := int64(layout.Alignment)
	for _, row := range layout.AMD64.Partitions() {
		length := cmp.Or(row.Size, size-layout.Alignment-at)
		t.Partitions = append(t.Partitions, gpt.Partition{
			Type: gpt.MustParseGUID(row.Type), ID: gpt.UUID(derive(root, "partition "+row.Name)), Name: row.Label,
			First: uint64(at / sectorSize), Last: uint64((at+length)/sectorSize) - 1,
		})
		at += length
	}
	release.Place(t, layout.Slots()[0], version, root)
	return t
}
