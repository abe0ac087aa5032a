// Package erofs writes and reads uncompressed EROFS file systems.
//
// It follows the kernel's Documentation/filesystems/erofs.rst and
// fs/erofs/erofs_fs.h as of Linux 6.1. Written are compact and extended
// inodes, flat and inline ("tail-packed") data, inline extended attributes and
// the superblock's checksum. Read are, besides, shared extended attributes, so
// that an image of mkfs.erofs can be read too. Left out are compression,
// chunks, extra devices, fragments and blocks other than 4096 bytes: an image
// that needs them is refused.
//
// An image is laid out in three regions, each in the order of the tree (a
// directory, then its entries sorted by name), so that it depends on nothing
// but the tree, and so that two versions of a tree share the blocks of all
// files that did not change:
//
//	block 0   1024 unused bytes, then the superblock
//	block 1   inodes, each with its extended attributes and inline data
//	…         blocks of directories and of long symbolic links
//	…         blocks of files, each file at the start of a block
//
// Files of at most half a block lie behind their inode. Longer ones get blocks
// of their own, the tail included: mkfs.erofs would put it behind the inode,
// where its place, and so its block, changes with every other file.
//
// github.com/erofs/go-erofs was considered for this and not used: its writer
// gives every name an inode and data of its own, where a hard link needs one
// for both, and it spools all file contents to a temporary file.
package erofs

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// BlockSize is the block size of every image, in bytes.
const BlockSize = 4096

const (
	blockBits        = 12
	superOffset      = 1024
	slotSize         = 32 // inodes start at multiples of it; their number counts them
	superMagic       = 0xe0f5e1e2
	maxName          = 255
	maxPath          = 4095 // PATH_MAX without its NUL
	maxTarget        = 4095
	noBlock          = 0xffffffff // block address of what has no blocks
	superblockSize   = 128
	compactSize      = 32
	extendedSize     = 64
	direntSize       = 12
	maxCompactIDs    = 1<<16 - 1 // user, group and link count in a compact inode
	maxCompactLength = 1<<32 - 1
	maxBlocks        = 1<<32 - 1
)

// Features. An unknown compatible one may be ignored, an incompatible one not.
const (
	compatChecksum = 1 << 0 // the superblock's checksum is valid
	compatMtime    = 1 << 1 // inodes carry the time of modification

	incompatZeroPadding = 1 << 0 // concerns compressed data only; mkfs.erofs may set it always
)

// superblock lies at byte 1024, little-endian.
type superblock struct {
	Magic          uint32   // 0
	Checksum       uint32   // 4: CRC-32C from here to the end of the block, see checksum
	Compat         uint32   // 8
	BlockBits      uint8    // 12
	ExtSlots       uint8    // 13: in units of 16 bytes
	RootNID        uint16   // 14
	Inodes         uint64   // 16
	BuildTime      int64    // 24: seconds since 1970
	BuildTimeNsec  uint32   // 32
	Blocks         uint32   // 36
	MetaBlock      uint32   // 40: where inode 0 would lie
	XattrBlock     uint32   // 44: where shared extended attributes lie
	UUID           [16]byte // 48
	Label          [16]byte // 64
	Incompat       uint32   // 80
	Compression    uint16   // 84
	ExtraDevices   uint16   // 86
	DeviceSlot     uint16   // 88
	DirBlockBits   uint8    // 90
	XattrPrefixes  uint8    // 91
	XattrPrefixPos uint32   // 92
	PackedNID      uint64   // 96
	Reserved       [24]byte // 104
}

// compactInode is the short form of an inode. Its time is the superblock's.
type compactInode struct {
	Format     uint16 // 0: bit 0: extended; bits 1–3: data layout
	XattrCount uint16 // 2: see xattrSpace
	Mode       uint16 // 4
	Nlink      uint16 // 6
	Size       uint32 // 8
	Reserved1  uint32 // 12
	Data       uint32 // 16: first block, or the device's number
	Ino        uint32 // 20: for 32-bit stat(2)
	UID        uint16 // 24
	GID        uint16 // 26
	Reserved2  uint32 // 28
}

// extendedInode is the long form.
type extendedInode struct {
	Format     uint16   // 0
	XattrCount uint16   // 2
	Mode       uint16   // 4
	Reserved1  uint16   // 6
	Size       uint64   // 8
	Data       uint32   // 16
	Ino        uint32   // 20
	UID        uint32   // 24
	GID        uint32   // 28
	Mtime      int64    // 32
	MtimeNsec  uint32   // 40
	Nlink      uint32   // 44
	Reserved2  [16]byte // 48
}

const formatExtended = 1 << 0

// Data layouts, in bits 1–3 of an inode's format.
const (
	layoutPlain             = 0 // all data in blocks
	layoutCompressed        = 1
	layoutInline            = 2 // the tail behind the inode, what is before it in blocks
	layoutCompressedCompact = 3
	layoutChunks            = 4
)

// dirent is an entry of a directory. A block of a directory holds the entries,
// sorted by name, then the names without separators, then zeros.
type dirent struct {
	NID        uint64 // 0
	NameOffset uint16 // 8: in the block; the first one tells where entries end
	Type       uint8  // 10
	Reserved   uint8  // 11
}

// File types, as in stat(2). Permission bits are below.
const (
	typeMask    = 0o170000
	typeSocket  = 0o140000
	typeSymlink = 0o120000
	typeRegular = 0o100000
	typeBlock   = 0o060000
	typeDir     = 0o040000
	typeChar    = 0o020000
	typeFIFO    = 0o010000
)

// direntType returns how a dirent tells the type of a mode; 0 is no known type.
func direntType(mode uint32) uint8 {
	switch mode & typeMask {
	case typeRegular:
		return 1
	case typeDir:
		return 2
	case typeChar:
		return 3
	case typeBlock:
		return 4
	case typeFIFO:
		return 5
	case typeSocket:
		return 6
	case typeSymlink:
		return 7
	}
	return 0
}

// checksum returns the checksum of block 0 from superOffset on, the superblock
// with a Checksum of zero. The kernel's crc32c() leaves out the last inversion.
func checksum(block []byte) uint32 {
	return ^crc32.Checksum(block, crc32.MakeTable(crc32.Castagnoli))
}

// encode returns the little-endian bytes of one of the structs above.
func encode(v any) []byte { return fixed.Encode(binary.LittleEndian, v) }

// unixTime undoes Time.Unix and Time.Nanosecond.
func unixTime(sec int64, nsec uint32) time.Time { return time.Unix(sec, int64(nsec)).UTC() }

// blocks returns how many blocks n bytes take.
func blocks(n int64) int64 { return (n + BlockSize - 1) / BlockSize }

// roundUp returns the next multiple of unit that is not below n.
func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
