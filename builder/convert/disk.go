package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/sparse"
	"github.com/ketch-os/ketch/disk/raw"
)

// OpenDisk takes a file for a raw disk. A file in another format is an error.
func OpenDisk(f *os.File) (*raw.Disk, error) {
	size, err := f.Seek(0, io.SeekEnd) // of a block device, too
	if err != nil {
		return nil, err
	}
	name, err := Detect(f, size)
	if err != nil {
		return nil, err
	}
	if name != "raw" {
		return nil, hint.Add(fmt.Errorf("a file in the format %s is no raw disk", name), "convert starts from the raw image that ketch build wrote")
	}
	disk := open(f, size)
	return disk, hint.Add(disk.Check(), "is it whole? an image is a multiple of 512 bytes")
}

// open makes a disk of a file's first size bytes; its holes are not read.
func open(f *os.File, size int64) *raw.Disk {
	extents := func(do func(start, end int64) error) error { return sparse.Each(f, size, do) }
	return &raw.Disk{ReaderAt: f, Size: size, Extents: extents}
}

// identity derives an ID from what tells disks apart: the sectors that hold the
// partition table with its own identifiers, and the size.
func identity(disk *raw.Disk) (id [16]byte, err error) {
	head := make([]byte, min(64<<10, disk.Size))
	if n, err := disk.ReadAt(head, 0); n < len(head) {
		return id, fmt.Errorf("read disk: %w", err)
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(head, uint64(disk.Size)))
	id = [16]byte(sum[:])
	id[6] = id[6]&0x0f | 0x80 // RFC 9562, 5.8: version 8, made by rules of one's own
	id[8] = id[8]&0x3f | 0x80 // RFC 9562, 4.1: the variant
	return id, nil
}

// signatures are how files begin that are no raw disks; a negative offset counts
// from the end.
func signatures() []signature {
	return []signature{
		{"qcow2", 0, "QFI\xfb"},
		{"vhd", 0, "conectix"},
		{"vhd-fixed", -512, "conectix"},
		{"vhdx", 0, "vhdxfile"},
		{"vmdk", 0, "KDMV"},
		{"vmdk (its descriptor)", 0, "# Disk DescriptorFile"},
		{"vmdk (ESX)", 0, "COWD"},
		{"vdi", 0x40, "\x7f\x10\xda\xbe"},
		{"zstd", 0, "\x28\xb5\x2f\xfd"},
		{"gzip", 0, "\x1f\x8b\x08"},
		{"xz", 0, "\xfd7zXZ\x00"},
		{"bzip2", 0, "BZh"},
		{"lz4", 0, "\x04\x22\x4d\x18"},
		{"zip", 0, "PK\x03\x04"},
		{"tar", 257, "ustar"},
	}
}

type signature struct {
	format string
	offset int64
	magic  string
}

// Detect tells the format of a file of size bytes by its content: the name of
// a Format, or of one that is only known; what nothing else claims is "raw".
func Detect(r io.ReaderAt, size int64) (string, error) {
	for _, s := range signatures() {
		offset := s.offset
		if offset < 0 {
			offset += size
		}
		if offset < 0 || offset+int64(len(s.magic)) > size {
			continue
		}
		b := make([]byte, len(s.magic))
		if n, err := r.ReadAt(b, offset); n < len(b) {
			return "", err
		}
		if string(b) == s.magic {
			return s.format, nil
		}
	}
	return "raw", nil
}
