// Package vhd writes disk images in the format of Microsoft Virtual PC and
// XenServer: virtual hard disks, fixed and dynamic.
//
// It follows Microsoft's "Virtual Hard Disk Image Format Specification", version
// 1.0, and for what XenServer adds to a dynamic disk the header file of its
// tools (blktap, include/vhd.h). Differencing disks are left out.
//
// A fixed disk is the raw disk and behind it the footer. A dynamic one is:
//
//	byte 0      a copy of the footer
//	byte 512    the dynamic disk header
//	byte 1536   the block allocation table: the sector of each block, or all ones
//	…           XenServer's block map: a header, then a bit for each block that is there
//	…           the blocks that are not all zeros, in order: a sector bitmap of 512
//	            bytes, then 2 MiB of data, on a page boundary
//	last 512    the footer
//
// All numbers are big-endian. The size of the disk stands in the footer twice,
// in bytes and as a geometry; most geometries cannot express a size exactly.
// Readers tell by the creator application which of the two counts. The creator
// written here, that of Xen's tools, stands for the size in bytes everywhere.
package vhd

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// Kinds of disks ("Disk Type").
const (
	Fixed   = 2
	Dynamic = 3
)

// Sizes in bytes.
const (
	BlockSize  = 2 << 20
	FooterSize = 512

	sectorSize = 512
	headerSize = 1024
	bitmapSize = BlockSize / sectorSize / 8 // one bit for each sector
	maxDisk    = 2040 << 30                 // what the format's readers take
)

const (
	version       = 0x00010000 // of the file format and of the dynamic disk header
	featuresNone  = 0x00000002 // a reserved bit that is always set
	noNextHeader  = 1<<64 - 1  // a data offset that points nowhere
	noBlock       = 1<<32 - 1  // a block that is not in the file
	dynamicOffset = FooterSize
	tableOffset   = dynamicOffset + headerSize

	// Xen's tools look for their block map in disks of their own from version 1.2
	// on, and do not grow a disk that has none.
	creatorVersion  = 0x00010003
	blockMapVersion = 0x00010002
)

var (
	cookieFooter  = [8]byte{'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'}
	cookieDynamic = [8]byte{'c', 'x', 's', 'p', 'a', 'r', 's', 'e'}
	cookieMap     = [8]byte{'t', 'd', 'b', 'a', 't', 'm', 'a', 'p'}
	creator       = [4]byte{'t', 'a', 'p'}
)

// epoch is when time starts: 2000-01-01T00:00:00Z ("Time Stamp").
const epoch = 946684800

// Footer ends every file, and starts a dynamic one ("Hard Disk Footer Format").
type Footer struct {
	Cookie             [8]byte  // 0: "conectix"
	Features           uint32   // 8
	Version            uint32   // 12
	DataOffset         uint64   // 16: of the dynamic disk header
	TimeStamp          uint32   // 24: of creation, seconds since 2000
	CreatorApplication [4]byte  // 28
	CreatorVersion     uint32   // 32
	CreatorHostOS      uint32   // 36
	OriginalSize       uint64   // 40: of the disk when it was created, bytes
	CurrentSize        uint64   // 48: of the disk, bytes
	Geometry           Geometry // 56
	DiskType           uint32   // 60: Fixed or Dynamic
	Checksum           uint32   // 64: of the footer, with this field zero
	UniqueID           [16]byte // 68
	SavedState         uint8    // 84
	Reserved           [427]byte
}

// Geometry is a disk's size as old controllers see it ("Disk Geometry").
type Geometry struct {
	Cylinders uint16 // 0
	Heads     uint8  // 2
	Sectors   uint8  // 3: in a track
}

// Header is the dynamic disk header ("Dynamic Disk Header Format").
type Header struct {
	Cookie            [8]byte      // 0: "cxsparse"
	DataOffset        uint64       // 8: all ones
	TableOffset       uint64       // 16: of the block allocation table
	Version           uint32       // 24
	MaxTableEntries   uint32       // 28: the number of blocks of the disk
	BlockSize         uint32       // 32: bytes, without the bitmap
	Checksum          uint32       // 36: of the header, with this field zero
	ParentUniqueID    [16]byte     // 40: from here on, of differencing disks
	ParentTimeStamp   uint32       // 56
	Reserved1         uint32       // 60
	ParentUnicodeName [512]byte    // 64
	ParentLocators    [8][24]uint8 // 576
	Reserved2         [256]byte    // 768
}

// blockMap is the header of XenServer's block map (struct dd_batmap_hdr), which
// lies behind the block allocation table.
type blockMap struct {
	Cookie   [8]byte   // 0: "tdbatmap"
	Offset   uint64    // 8: of the map
	Sectors  uint32    // 16: of the map
	Version  uint32    // 20
	Checksum uint32    // 24: of the map
	Reserved [484]byte // 28
}

// checksum is the one's complement of the sum of the bytes ("Checksum").
func checksum(b []byte) uint32 {
	var sum uint32
	for _, v := range b {
		sum += uint32(v)
	}
	return ^sum
}

// encode returns the footer's bytes, with their checksum.
func (f Footer) encode() []byte {
	f.Checksum = 0
	f.Checksum = checksum(encode(f))
	return encode(f)
}

func (h Header) encode() []byte {
	h.Checksum = 0
	h.Checksum = checksum(encode(h))
	return encode(h)
}

func newFooter(size int64, kind uint32, o Options) Footer {
	f := Footer{
		Cookie: cookieFooter, Features: featuresNone, Version: version, DataOffset: noNextHeader,
		TimeStamp: timeStamp(o.Time), CreatorApplication: creator, CreatorVersion: creatorVersion,
		OriginalSize: uint64(size), CurrentSize: uint64(size), Geometry: GeometryOf(size),
		DiskType: kind, UniqueID: o.ID,
	}
	if kind == Dynamic {
		f.DataOffset = dynamicOffset
	}
	return f
}

// timeStamp counts seconds since 2000, as far as 32 bits reach.
func timeStamp(t time.Time) uint32 {
	return uint32(min(max(t.Unix()-epoch, 0), 1<<32-1))
}

// GeometryOf computes the geometry of a disk (appendix "CHS Calculation").
// It never stands for more than the disk holds, and at most for 127 GiB.
func GeometryOf(size int64) Geometry {
	sectors := min(size/sectorSize, 65535*16*255)
	if sectors >= 65535*16*63 {
		return Geometry{uint16(sectors / 255 / 16), 16, 255}
	}
	perTrack := int64(17)
	cylindersTimesHeads := sectors / perTrack
	heads := max((cylindersTimesHeads+1023)/1024, 4)
	if cylindersTimesHeads >= heads*1024 || heads > 16 {
		perTrack, heads = 31, 16
		cylindersTimesHeads = sectors / perTrack
	}
	if cylindersTimesHeads >= heads*1024 {
		perTrack, heads = 63, 16
		cylindersTimesHeads = sectors / perTrack
	}
	return Geometry{uint16(cylindersTimesHeads / heads), uint8(heads), uint8(perTrack)}
}

// encode returns the bytes of a record of fixed size.
func encode(record any) []byte { return fixed.Encode(binary.BigEndian, record) }

// decode fills a record of fixed size from the start of b, which must be long enough.
func decode(b []byte, record any) { fixed.Decode(binary.BigEndian, b, record) }

// readAt reads length bytes, which must all be there.
func readAt(r io.ReaderAt, offset, length int64) ([]byte, error) {
	b := make([]byte, length)
	if err := fixed.ReadAt(r, b, offset); err != nil {
		return nil, fmt.Errorf("%d bytes at %d: %w", length, offset, err)
	}
	return b, nil
}
