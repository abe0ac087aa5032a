package fat

import (
	"encoding/binary"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// bootSector is sector 0 of a FAT32 volume (fatgen103, "Boot Sector and BPB",
// names without their BPB_ and BS_). In sectors of more than 512 bytes the rest is zero.
type bootSector struct {
	JmpBoot    [3]byte   // 0
	OEMName    [8]byte   // 3
	BytsPerSec uint16    // 11
	SecPerClus uint8     // 13
	RsvdSecCnt uint16    // 14
	NumFATs    uint8     // 16
	RootEntCnt uint16    // 17: 0 on FAT32
	TotSec16   uint16    // 19: 0 on FAT32
	Media      uint8     // 21
	FATSz16    uint16    // 22: 0 on FAT32
	SecPerTrk  uint16    // 24
	NumHeads   uint16    // 26
	HiddSec    uint32    // 28
	TotSec32   uint32    // 32
	FATSz32    uint32    // 36
	ExtFlags   uint16    // 40
	FSVer      uint16    // 42
	RootClus   uint32    // 44
	FSInfo     uint16    // 48
	BkBootSec  uint16    // 50
	Reserved   [12]byte  // 52
	DrvNum     uint8     // 64
	Reserved1  uint8     // 65: bit 0 is Windows NT's mark of a dirty volume
	BootSig    uint8     // 66
	VolID      uint32    // 67
	VolLab     [11]byte  // 71
	FilSysType [8]byte   // 82
	BootCode   [420]byte // 90
	Signature  [2]byte   // 510
}

// infoSector is the FSInfo sector (fatgen103, "FAT32 FSInfo Sector Structure").
type infoSector struct {
	LeadSig   uint32    // 0
	Reserved1 [480]byte // 4
	StrucSig  uint32    // 484
	FreeCount uint32    // 488
	NxtFree   uint32    // 492
	Reserved2 [12]byte  // 496
	TrailSig  uint32    // 508
}

// Signatures.
const (
	leadSig  = 0x41615252
	strucSig = 0x61417272
	trailSig = 0xaa550000
	bootSig  = 0x29 // the volume ID and label of the boot sector are valid
)

// bootSignature ends the first 512 bytes of each sector of the boot record.
var bootSignature = [2]byte{0x55, 0xaa}

// shortEntry is a directory entry (fatgen103, "FAT 32 Byte Directory Entry Structure").
type shortEntry struct {
	Name         shortName // 0
	Attr         uint8     // 11
	NTRes        uint8     // 12
	CrtTimeTenth uint8     // 13
	CrtTime      uint16    // 14
	CrtDate      uint16    // 16
	LstAccDate   uint16    // 18
	FstClusHI    uint16    // 20
	WrtTime      uint16    // 22
	WrtDate      uint16    // 24
	FstClusLO    uint16    // 26
	FileSize     uint32    // 28
}

// longEntry holds 13 UTF-16 units of a long name (fatgen103, "FAT Long Directory Entries").
type longEntry struct {
	Ord       uint8     // 0
	Name1     [5]uint16 // 1
	Attr      uint8     // 11
	Type      uint8     // 12
	Chksum    uint8     // 13
	Name2     [6]uint16 // 14
	FstClusLO uint16    // 26
	Name3     [2]uint16 // 28
}

const (
	entrySize = 32

	attrReadOnly = 0x01
	attrVolumeID = 0x08
	attrDir      = 0x10
	attrArchive  = 0x20
	attrLong     = 0x0f
	attrLongMask = 0x3f

	lastLong = 0x40 // in Ord: this entry holds the end of the name

	entryEnd  = 0x00 // first byte of the entry after the last
	entryFree = 0xe5 // first byte of an unused entry
	entryE5   = 0x05 // stands for a first byte of 0xe5

	ntLowerBase = 0x08 // NTRes: Windows NT, Linux and EDK2 show the name in lower case
	ntLowerExt  = 0x10 // … and the extension

	maxDirEntries = 65536 // fatgen103: a directory has at most 65,536 × 32 bytes
)

// FAT entries (fatgen103, "FAT Data Structure"); only 28 bits count.
const (
	rootCluster   = 2
	entryMask     = 0x0fffffff
	endOfChain    = 0x0fffffff
	minEndOfChain = 0x0ffffff8
	badCluster    = 0x0ffffff7
	cleanBits     = 0x0c000000 // in entry 1: clean shutdown, no hard errors
	mediaEntry    = 0x0ffffff8 // entry 0: the media byte, the rest ones
)

func (e shortEntry) cluster() uint32 { return uint32(e.FstClusHI)<<16 | uint32(e.FstClusLO) }

// units returns the 13 UTF-16 units of the entry in order.
func (e longEntry) units() []uint16 {
	return append(append(append(make([]uint16, 0, longUnits), e.Name1[:]...), e.Name2[:]...), e.Name3[:]...)
}

// encode returns the bytes of a record of fixed size.
func encode(record any) []byte { return fixed.Encode(binary.LittleEndian, record) }

// decode fills a record of fixed size from the start of b, which must be long enough.
func decode(b []byte, record any) { fixed.Decode(binary.LittleEndian, b, record) }
