package gpt

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"unicode/utf16"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// signature starts every header.
var signature = [8]byte{'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T'}

const (
	revision   = 0x00010000
	headerSize = 92
	entrySize  = 128
)

// header is the GPT header (UEFI 2.10, table 5.5). The rest of its block is zero.
type header struct {
	Signature      [8]byte // 0
	Revision       uint32  // 8
	HeaderSize     uint32  // 12
	HeaderCRC32    uint32  // 16: over HeaderSize bytes, with this field zero
	Reserved       uint32  // 20
	MyLBA          uint64  // 24
	AlternateLBA   uint64  // 32
	FirstUsableLBA uint64  // 40
	LastUsableLBA  uint64  // 48
	DiskGUID       GUID    // 56
	EntriesLBA     uint64  // 72
	EntryCount     uint32  // 80
	EntrySize      uint32  // 84
	EntriesCRC32   uint32  // 88: over EntryCount × EntrySize bytes
}

// entry is a GPT partition entry (UEFI 2.10, table 5.6).
type entry struct {
	Type       GUID              // 0
	ID         GUID              // 16
	First      uint64            // 32
	Last       uint64            // 40
	Attributes uint64            // 48
	Name       [nameUnits]uint16 // 56
}

// protectiveMBR is the part of block 0 that a GPT disk defines (UEFI 2.10, table
// 5.3): what follows the 440 bytes of boot code, which are not ours.
type protectiveMBR struct {
	DiskSignature [4]byte      // 440
	Unknown       [2]byte      // 444
	Records       [4]mbrRecord // 446
	Signature     [2]byte      // 510
}

// mbrOffset is where protectiveMBR starts on the disk.
const mbrOffset = 440

// mbrRecord is a partition record of the MBR (UEFI 2.10, table 5.4).
type mbrRecord struct {
	BootIndicator byte    // 0
	StartingCHS   [3]byte // 1
	OSType        byte    // 4
	EndingCHS     [3]byte // 5
	StartingLBA   uint32  // 8
	SizeInLBA     uint32  // 12
}

const osTypeProtective = 0xee

// newProtectiveMBR covers a disk of that many blocks, as far as 32 bits reach.
func newProtectiveMBR(sectors uint64) protectiveMBR {
	return protectiveMBR{
		Records: [4]mbrRecord{{
			StartingCHS: [3]byte{0x00, 0x02, 0x00},
			OSType:      osTypeProtective,
			EndingCHS:   [3]byte{0xff, 0xff, 0xff},
			StartingLBA: 1,
			SizeInLBA:   uint32(min(sectors-1, 0xffffffff)),
		}},
		Signature: [2]byte{0x55, 0xaa},
	}
}

// headerCRC computes the checksum of a header that takes raw, whatever its CRC field holds.
func headerCRC(raw []byte) uint32 {
	const field = 16 // HeaderCRC32
	sum := crc32.ChecksumIEEE(raw[:field])
	sum = crc32.Update(sum, crc32.IEEETable, make([]byte, 4))
	return crc32.Update(sum, crc32.IEEETable, raw[field+4:])
}

// newEntry encodes a partition, whose name must fit.
func newEntry(p Partition) entry {
	e := entry{Type: p.Type, ID: p.ID, First: p.First, Last: p.Last, Attributes: p.Attributes}
	copy(e.Name[:], utf16.Encode([]rune(p.Name)))
	return e
}

// partition decodes an entry. What is no UTF-16 in its name becomes U+FFFD.
func (e entry) partition() Partition {
	name := e.Name[:]
	if end := slices.Index(name, 0); end >= 0 {
		name = name[:end]
	}
	return Partition{e.Type, e.ID, e.First, e.Last, e.Attributes, string(utf16.Decode(name))}
}

// encode returns the bytes of a record of fixed size.
func encode(record any) []byte { return fixed.Encode(binary.LittleEndian, record) }

// decode fills a record of fixed size from the start of b, which must be long enough.
func decode(b []byte, record any) { fixed.Decode(binary.LittleEndian, b, record) }
