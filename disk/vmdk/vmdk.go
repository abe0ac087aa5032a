// Package vmdk writes disk images in VMware's format for transport: VMDK,
// stream-optimized.
//
// It follows VMware's "Virtual Disk Format 1.1", chapter "Stream-Optimized
// Compressed Sparse Extents". Other kinds of VMDK are left out: flat extents,
// extents that can be written in place, snapshots.
//
// A file can be written without ever going back. It is laid out in sectors of
// 512 bytes:
//
//	sector 0   the header, which says that the grain directory is found through the footer
//	sector 1   the descriptor: a text, 20 sectors
//	sector 128 for every 512 grains: each grain that is not all zeros, behind its
//	           marker, compressed (zlib, RFC 1950); then their grain table
//	…          the grain directory
//	last 3     a marker, the footer (the header again), the end-of-stream marker
//
// A grain is 64 KiB of the disk. Tables, directory and footer each have a marker
// of one sector before them. All numbers are little-endian.
package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// GrainSize is the unit of allocation, in bytes.
const GrainSize = grainSectors * sectorSize

const (
	sectorSize      = 512
	grainSectors    = 128
	entriesPerTable = 512 // grains of a grain table
	tableSectors    = entriesPerTable * 4 / sectorSize

	descriptorOffset  = 1   // sectors
	descriptorSectors = 20  // enough for the text, and what other writers reserve
	overhead          = 128 // sectors before the first grain

	maxSectors = 1 << 32 // grain tables count sectors in 32 bits
)

const (
	formatVersion        = 3 // of stream-optimized extents; 1 has the same layout
	flagNewLines         = 1 << 0
	flagCompressed       = 1 << 16
	flagMarkers          = 1 << 17
	compressionDeflate   = 1
	directoryAtEnd       = 1<<64 - 1
	streamOptimizedFlags = flagNewLines | flagCompressed | flagMarkers
)

var (
	magic    = [4]byte{'K', 'D', 'M', 'V'}
	newLines = [4]byte{'\n', ' ', '\r', '\n'} // what a transfer as text would change
)

// Header is the sparse extent header; the footer has the same form ("Hosted
// Sparse Extent Header"). Offsets and sizes are in sectors.
type Header struct {
	Magic              [4]byte   // 0: "KDMV"
	Version            uint32    // 4
	Flags              uint32    // 8
	Capacity           uint64    // 12: of the disk
	GrainSize          uint64    // 20
	DescriptorOffset   uint64    // 28
	DescriptorSize     uint64    // 36
	EntriesPerTable    uint32    // 44: grains of a grain table
	RedundantDirectory uint64    // 48: none
	GrainDirectory     uint64    // 56: all ones in the header: see the footer
	Overhead           uint64    // 64: before the first grain
	UncleanShutdown    uint8     // 72
	NewLines           [4]byte   // 73
	Compression        uint16    // 77
	Padding            [433]byte // 79
}

// grainMarker stands before a grain's data, which follows it at once ("Markers").
type grainMarker struct {
	Sector uint64 // 0: of the disk
	Size   uint32 // 8: of the compressed data, bytes; never 0
}

// marker stands before what is no grain.
type marker struct {
	Sectors uint64     // 0: of what follows
	Size    uint32     // 8: 0 tells it from a grain's marker
	Type    markerType // 12
	Padding [496]byte  // 16
}

type markerType uint32

const (
	endOfStream markerType = iota
	tableMarker
	directoryMarker
	footerMarker
)

func newHeader(size int64) Header {
	return Header{
		Magic: magic, Version: formatVersion, Flags: streamOptimizedFlags,
		Capacity: uint64(size / sectorSize), GrainSize: grainSectors,
		DescriptorOffset: descriptorOffset, DescriptorSize: descriptorSectors,
		EntriesPerTable: entriesPerTable, GrainDirectory: directoryAtEnd, Overhead: overhead,
		NewLines: newLines, Compression: compressionDeflate,
	}
}

// descriptor is the text that describes the disk ("The Descriptor File"). The
// geometry is that of a SCSI disk, rounded down.
func descriptor(size int64, id [16]byte) string {
	const heads, sectors = 255, 63
	return strings.Join([]string{
		"# Disk DescriptorFile",
		"version=1",
		fmt.Sprintf("CID=%x", contentID(id)),
		"parentCID=ffffffff",
		`createType="streamOptimized"`,
		"",
		"# Extent description",
		fmt.Sprintf(`RW %d SPARSE "disk.vmdk"`, size/sectorSize),
		"",
		"# The Disk Data Base",
		"#DDB",
		"",
		`ddb.adapterType = "lsilogic"`,
		fmt.Sprintf(`ddb.geometry.cylinders = "%d"`, size/sectorSize/heads/sectors),
		fmt.Sprintf(`ddb.geometry.heads = "%d"`, heads),
		fmt.Sprintf(`ddb.geometry.sectors = "%d"`, sectors),
		fmt.Sprintf(`ddb.longContentID = "%x"`, id),
		`ddb.virtualHWVersion = "4"`,
		"",
	}, "\n")
}

// contentID is the short form of id. The values of all zeros and all ones mean
// something else; a disk has neither.
func contentID(id [16]byte) uint32 {
	return min(max(binary.BigEndian.Uint32(id[12:]), 1), 1<<32-3)
}

// ReadHeader reads the header and the footer of a stream-optimized file of size
// bytes, checks one against the other, and returns the footer, which knows the
// grain directory, and the descriptor's text.
func ReadHeader(r io.ReaderAt, size int64) (footer Header, text string, err error) {
	fail := func(format string, args ...any) (Header, string, error) {
		return footer, "", fmt.Errorf("VMDK "+format, args...)
	}
	if size < 4*sectorSize || size%sectorSize != 0 {
		return fail("header: a file of %d bytes", size)
	}
	var header Header
	var before, after marker
	for _, record := range []struct {
		offset int64
		into   any
	}{{0, &header}, {size - 3*sectorSize, &before}, {size - 2*sectorSize, &footer}, {size - sectorSize, &after}} {
		if err := readRecord(r, record.offset, record.into); err != nil {
			return fail("header: %w", err)
		}
	}
	if err := header.check(size); err != nil {
		return fail("header: %w", err)
	}
	if before != (marker{Sectors: 1, Type: footerMarker}) || after != (marker{}) {
		return fail("footer: it is not between its marker and the end-of-stream marker")
	}
	if err := footer.checkFooter(header, size); err != nil {
		return fail("footer: %w", err)
	}
	b := make([]byte, header.DescriptorSize*sectorSize)
	if _, err := r.ReadAt(b, int64(header.DescriptorOffset)*sectorSize); err != nil {
		return fail("descriptor: %w", err)
	}
	text, _, _ = strings.Cut(string(b), "\x00")
	return footer, text, nil
}

func (h Header) check(size int64) error {
	sectors := uint64(size / sectorSize)
	switch {
	case h.Magic != magic:
		return fmt.Errorf("magic %q", h.Magic)
	case h.Version < 1 || h.Version > 3:
		return fmt.Errorf("version %d", h.Version)
	case h.Flags&streamOptimizedFlags != streamOptimizedFlags || h.Compression != compressionDeflate:
		return fmt.Errorf("flags %#x, compression %d: not stream-optimized", h.Flags, h.Compression)
	case h.NewLines != newLines:
		return fmt.Errorf("line ends %q: the file was transferred as text", h.NewLines)
	case h.GrainSize != grainSectors || h.EntriesPerTable != entriesPerTable:
		return fmt.Errorf("grains of %d sectors, %d in a table", h.GrainSize, h.EntriesPerTable)
	case h.Capacity > maxSectors:
		return fmt.Errorf("a disk of %d sectors", h.Capacity)
	case h.DescriptorSize > 1<<10 || h.DescriptorOffset > sectors || h.DescriptorSize > sectors-h.DescriptorOffset:
		return fmt.Errorf("a descriptor of %d sectors at %d in a file of %d", h.DescriptorSize, h.DescriptorOffset, sectors)
	}
	return nil
}

// checkFooter holds a footer against its header: they differ in the directory's place.
func (h Header) checkFooter(header Header, size int64) error {
	sectors := uint64(size / sectorSize)
	directory := uint64(directorySectors(int64(header.Capacity)))
	if h.GrainDirectory > sectors || directory > sectors-h.GrainDirectory {
		return fmt.Errorf("a grain directory of %d sectors at %d in a file of %d", directory, h.GrainDirectory, sectors)
	}
	if h.GrainDirectory = header.GrainDirectory; h != header {
		return errors.New("it differs from the header")
	}
	return nil
}

// directorySectors is the size of the grain directory of a disk of that many sectors.
func directorySectors(capacity int64) int64 {
	tables := divideUp(capacity, grainSectors*entriesPerTable)
	return divideUp(tables*4, sectorSize)
}

func divideUp(n, by int64) int64 { return (n + by - 1) / by }

// encode returns the bytes of a record of fixed size.
func encode(record any) []byte { return fixed.Encode(binary.LittleEndian, record) }

// readRecord fills a record of fixed size from the bytes at an offset.
func readRecord(r io.ReaderAt, offset int64, record any) error {
	b := make([]byte, binary.Size(record))
	if err := fixed.ReadAt(r, b, offset); err != nil {
		return fmt.Errorf("%d bytes at %d: %w", len(b), offset, err)
	}
	_, err := binary.Decode(b, binary.LittleEndian, record)
	return err
}
