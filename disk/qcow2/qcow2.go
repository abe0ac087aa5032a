// Package qcow2 writes disk images in QEMU's format qcow2, compressed.
//
// It follows QEMU's docs/interop/qcow2.txt for what a converted image needs:
// version 2 (what qemu-img calls compat=0.10, for the oldest readers) or 3
// (compat=1.1), clusters of 64 KiB, refcounts of 16 bits, clusters compressed
// with deflate where that makes them smaller. Clusters of zeros are not
// allocated. Backing files, snapshots, encryption, bitmaps, external data files,
// extended L2 entries and zstd are left out.
//
// A file is laid out in clusters:
//
//	cluster 0   the header
//	cluster 1…  the L1 table
//	…           for each L2 table: the clusters it maps, then the table itself
//	last        the refcount blocks, then the refcount table
//
// Compressed clusters lie one behind the other with no gap between them; they
// may cross into the next cluster of the file. All numbers are big-endian.
package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// Sizes in bytes, and what one cluster holds of each kind of table entry.
const (
	ClusterSize = 1 << clusterBits
	clusterBits = 16

	entriesPerTable = ClusterSize / 8 // of L1, L2 and the refcount table
	refcountsPer    = ClusterSize / 2 // in a refcount block: 16 bits each
	maxDisk         = 1 << 50         // what we write at most: the L1 table has 16 MiB then
)

// Versions of the format.
const (
	Version2 = 2 // compat=0.10
	Version3 = 3 // compat=1.1
)

var magic = [4]byte{'Q', 'F', 'I', 0xfb}

// Header is the header that both versions have ("Header").
type Header struct {
	Magic                 [4]byte // 0: "QFI\xfb"
	Version               uint32  // 4: 2 or 3
	BackingFileOffset     uint64  // 8: 0: none
	BackingFileSize       uint32  // 16
	ClusterBits           uint32  // 20: 1 << ClusterBits is the cluster size
	Size                  uint64  // 24: of the disk, bytes
	CryptMethod           uint32  // 32: 0: none
	L1Size                uint32  // 36: entries
	L1TableOffset         uint64  // 40
	RefcountTableOffset   uint64  // 48
	RefcountTableClusters uint32  // 56
	SnapshotCount         uint32  // 60
	SnapshotsOffset       uint64  // 64
}

// Extension is what version 3 adds ("Header", bytes 72 to 103).
type Extension struct {
	IncompatibleFeatures uint64 // 72
	CompatibleFeatures   uint64 // 80
	AutoclearFeatures    uint64 // 88
	RefcountOrder        uint32 // 96: 1 << RefcountOrder bits each
	HeaderLength         uint32 // 100: 104 and more
}

const (
	headerSize    = 72
	extensionSize = 32
	refcountOrder = 4 // what version 2 has without saying so
)

// ReadHeader reads the header of a file and checks that it is one of a version
// known here, with tables that lie inside the file's first size bytes. The
// extension of a version 2 header is what that version stands for.
func ReadHeader(r io.ReaderAt, size int64) (h Header, x Extension, err error) {
	raw := make([]byte, min(headerSize+extensionSize, max(size, 0)))
	if _, err := r.ReadAt(raw, 0); err != nil && !errors.Is(err, io.EOF) {
		return h, x, fmt.Errorf("read qcow2 header: %w", err)
	}
	fail := func(format string, args ...any) (Header, Extension, error) {
		return h, x, fmt.Errorf("qcow2 header: "+format, args...)
	}
	if len(raw) < headerSize {
		return fail("the file ends in it")
	}
	decode(raw, &h)
	x = Extension{RefcountOrder: refcountOrder, HeaderLength: headerSize}
	switch {
	case h.Magic != magic:
		return fail("magic %q", h.Magic)
	case h.Version == Version3 && len(raw) == headerSize+extensionSize:
		decode(raw[headerSize:], &x)
	case h.Version != Version2:
		return fail("version %d, or the file ends in it", h.Version)
	}
	if err := h.check(size); err != nil {
		return fail("%w", err)
	}
	if x.RefcountOrder > 6 || x.HeaderLength < headerSize || x.HeaderLength > 1<<h.ClusterBits {
		return fail("refcount order %d, header length %d", x.RefcountOrder, x.HeaderLength)
	}
	return h, x, nil
}

// check holds the header's places against each other and the size of the file.
func (h *Header) check(size int64) error {
	if h.ClusterBits < 9 || h.ClusterBits > 21 { // QEMU reads no others
		return fmt.Errorf("clusters of 2^%d bytes", h.ClusterBits)
	}
	cluster := uint64(1) << h.ClusterBits
	if perEntry := cluster * (cluster / 8); h.Size > maxDisk || uint64(h.L1Size) < (h.Size+perEntry-1)/perEntry {
		return fmt.Errorf("%d L1 entries for a disk of %d bytes", h.L1Size, h.Size)
	}
	for _, table := range []struct {
		name         string
		offset, size uint64
	}{
		{"L1 table", h.L1TableOffset, uint64(h.L1Size) * 8},
		{"refcount table", h.RefcountTableOffset, uint64(h.RefcountTableClusters) << h.ClusterBits},
	} {
		if table.offset%cluster != 0 || table.offset > uint64(size) || table.size > uint64(size)-table.offset {
			return fmt.Errorf("%s of %d bytes at %d in a file of %d", table.name, table.size, table.offset, size)
		}
	}
	return nil
}

// encode returns the bytes of records of fixed size.
func encode(records ...any) (b []byte) {
	for _, record := range records {
		b = append(b, fixed.Encode(binary.BigEndian, record)...)
	}
	return b
}

// decode fills a record of fixed size from the start of b, which must be long enough.
func decode(b []byte, record any) { fixed.Decode(binary.BigEndian, b, record) }
