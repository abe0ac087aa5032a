package image

import (
	"crypto/sha256"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// derive makes an identifier from the root hash of usr and a name, in the form
// of a UUID of version 8 (RFC 9562, 5.8): the same content has the same
// identifiers in every build, and ketch verify can compute them again.
func derive(root [32]byte, name string) (id [16]byte) {
	sum := sha256.Sum256(append(root[:], name...))
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// slot is one partition of the layout before it has a place.
type slot struct {
	label string
	kind  string // type GUID
	size  int64  // bytes; 0 = the rest of the disk
	id    gpt.GUID
}

// partitions lists the disk's partitions in order, with version in slot A.
func partitions(version string, root verity.RootHash) []slot {
	arch := layout.AMD64
	id := func(name string) gpt.GUID { return gpt.UUID(derive(root, "partition "+name)) }
	usr, hash := release.SlotIDs(root)
	return []slot{
		{layout.LabelESP, layout.TypeESP, layout.SizeESP, id("ESP")},
		{layout.LabelBIOS, layout.TypeBIOS, layout.SizeBIOS, id("BIOS")},
		{layout.SlotLabel(version), arch.Usr, layout.SizeUsr, usr},
		{layout.VerityLabel(version), arch.UsrVerity, layout.SizeVerity, hash},
		{layout.LabelEmpty, arch.Usr, layout.SizeUsr, id("usr B")},
		{layout.LabelEmpty, arch.UsrVerity, layout.SizeVerity, id("verity B")},
		{layout.LabelBoot, layout.TypeBoot, layout.SizeBoot, id("boot")},
		{layout.LabelState, layout.TypeState, 0, id("state")},
	}
}

const sectorSize = 512

// diskSize is the size of an image in bytes: what the partitions need, rounded up.
func diskSize() int64 {
	size := int64(2 * layout.Alignment) // the two copies of the table, each in the first or last MiB
	for _, p := range partitions("", verity.RootHash{}) {
		size += max(p.size, 0)
	}
	size += layout.MinState
	return (size + layout.ImageMultiple - 1) / layout.ImageMultiple * layout.ImageMultiple
}

// newTable lays the partitions out on a disk of size bytes.
func newTable(version string, root verity.RootHash, size int64) *gpt.Table {
	t := &gpt.Table{
		DiskID:     gpt.UUID(derive(root, "disk")),
		SectorSize: sectorSize,
		Sectors:    uint64(size / sectorSize),
	}
	at := int64(layout.Alignment)
	for _, p := range partitions(version, root) {
		length := p.size
		if length == 0 {
			length = size - layout.Alignment - at
		}
		t.Partitions = append(t.Partitions, gpt.Partition{
			Type: gpt.MustParseGUID(p.kind), ID: p.id, Name: p.label,
			First: uint64(at / sectorSize), Last: uint64((at+length)/sectorSize) - 1,
		})
		at += length
	}
	return t
}
