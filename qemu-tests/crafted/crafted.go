// Package crafted makes up ext4 file systems as an enemy who has a disk may: of one
// that is whole, with another value in a field that the kernel computes with, or
// follows. Where the file system has checksums they are made right again, or the
// kernel would look no further. The layout is that of the kernel's
// Documentation/filesystems/ext4.
package crafted

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
)

// Case is a file system that differs from an image in some bytes.
type Case struct {
	Name   string  `json:"name"`  // what is changed, for a person
	Image  string  `json:"image"` // the name of the image
	Writes []Write `json:"writes"`
}

// Write is bytes at an offset.
type Write struct {
	At   int64  `json:"at"`
	Data []byte `json:"data"`
}

// Image is a file system that is whole, of one group.
type Image struct {
	Name   string
	Data   []byte
	Sealed bool // it has checksums (metadata_csum): only what can be sealed is changed

	// Where things lie, in bytes, where it is not sealed.
	Descriptors, Journal, InodeTable, RootDirectory int64
}

// part is something of a file system that has fields worth a lie: where it lies, and
// the fields by their offsets, each of 1, 2 or 4 bytes.
type part struct {
	name   string
	at     int64
	fields []field
	seal   func(data []byte, p part) // makes the checksum right again; nil: it has none
}

type field struct {
	at   int64
	size int
	name string
}

// superblockFields: those that the kernel computes with, or follows.
var superblockFields = []field{
	{0x00, 4, "inodes"}, {0x04, 4, "blocks"}, {0x08, 4, "reserved blocks"}, {0x0c, 4, "free blocks"}, {0x10, 4, "free inodes"},
	{0x14, 4, "first data block"}, {0x18, 4, "block size"}, {0x1c, 4, "cluster size"}, {0x20, 4, "blocks per group"}, {0x24, 4, "clusters per group"},
	{0x28, 4, "inodes per group"}, {0x3a, 2, "state"}, {0x3c, 2, "on errors"}, {0x4c, 4, "revision"}, {0x54, 4, "first inode"}, {0x58, 2, "inode size"},
	{0x5a, 2, "block group"}, {0x5c, 4, "compatible"}, {0x60, 4, "incompatible"}, {0x64, 4, "read-only compatible"}, {0xcc, 1, "preallocated blocks"},
	{0xce, 2, "reserved descriptors"}, {0xe0, 4, "journal inode"}, {0xe4, 4, "journal device"}, {0xe8, 4, "orphans"}, {0xfc, 1, "hash"},
	{0xfe, 2, "descriptor size"}, {0x100, 4, "mount options"}, {0x104, 4, "first meta group"}, {0x10c, 4, "journal backup"}, {0x150, 4, "blocks, high"},
	{0x158, 4, "free blocks, high"}, {0x15c, 2, "least extra size"}, {0x15e, 2, "wanted extra size"}, {0x160, 4, "flags"}, {0x166, 2, "MMP interval"},
	{0x168, 4, "MMP block"}, {0x174, 1, "groups per flex"}, {0x175, 1, "checksum type"}, {0x240, 4, "user quota"}, {0x244, 4, "group quota"},
	{0x24c, 4, "backup group"}, {0x26c, 4, "project quota"}, {0x270, 4, "checksum seed"}, {0x27c, 2, "encoding"}, {0x280, 4, "orphan file"},
}

var descriptorFields = []field{
	{0x00, 4, "block bitmap"}, {0x04, 4, "inode bitmap"}, {0x08, 4, "inode table"}, {0x0c, 2, "free blocks"}, {0x0e, 2, "free inodes"},
	{0x10, 2, "directories"}, {0x12, 2, "flags"}, {0x1c, 2, "unused inodes"}, {0x20, 4, "block bitmap, high"}, {0x28, 4, "inode table, high"},
}

var inodeFields = []field{
	{0x00, 2, "mode"}, {0x04, 4, "size"}, {0x1a, 2, "links"}, {0x1c, 4, "sectors"}, {0x20, 4, "flags"}, {0x28, 2, "extent magic"}, {0x2a, 2, "extents"},
	{0x2c, 2, "most extents"}, {0x2e, 2, "depth"}, {0x34, 4, "first block"}, {0x38, 2, "length"}, {0x3a, 2, "start, high"}, {0x3c, 4, "start"},
	{0x68, 4, "attributes"}, {0x6c, 4, "size, high"}, {0x80, 2, "extra size"},
}

var journalFields = []field{ // big-endian; what is written is a lie in either order
	{0x04, 4, "block type"}, {0x0c, 4, "block size"}, {0x10, 4, "length"}, {0x14, 4, "first"}, {0x18, 4, "sequence"}, {0x1c, 4, "start"}, {0x20, 4, "error"},
	{0x24, 4, "compatible"}, {0x28, 4, "incompatible"}, {0x2c, 4, "read-only"}, {0x40, 4, "users"}, {0x50, 1, "checksum type"}, {0x54, 4, "fast commit"},
}

var directoryFields = []field{
	{0x00, 4, "inode"}, {0x04, 2, "length"}, {0x06, 1, "name length"}, {0x07, 1, "type"}, {0x0c, 4, "parent"}, {0x10, 2, "parent's length"}, {0x18, 4, "next inode"}, {0x1c, 2, "next length"},
}

// inodeSize is the size of an inode in bytes.
const inodeSize = 256

// parts are what of an image is changed, in the order in which it lies there.
func (i Image) parts() []part {
	if i.Sealed {
		return []part{
			{"superblock", superblock, superblockFields, sealSuperblock},
			{"group descriptor", i.Descriptors, descriptorFields, sealDescriptor},
		}
	}
	parts := []part{
		{"superblock", superblock, superblockFields, nil},
		{"group descriptor", i.Descriptors, descriptorFields, nil},
		{journal, i.Journal, journalFields, nil},
		{"directory", i.RootDirectory, directoryFields, nil},
	}
	for number, name := range map[int64]string{2: "root inode", 3: "quota inode", 8: "journal's inode", 12: "inode 12"} {
		parts = append(parts, part{name, i.InodeTable + (number-1)*inodeSize, inodeFields, nil})
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.at, b.at) })
	return parts
}

const (
	superblock = 1024 // where it lies
	journal    = "journal"
)

// Cases makes up a number of cases from images, the same ones for the same seed.
func Cases(images []Image, count int, seed uint64) (cases []Case) {
	random := rand.New(rand.NewPCG(seed, 0))
	for n := range count {
		image := images[n%len(images)]
		parts := image.parts()
		cases = append(cases, image.change(parts[n/len(images)%len(parts)], random))
	}
	return cases
}

// change makes a case of one or two changes in one part.
func (i Image) change(p part, random *rand.Rand) Case {
	to := bytes.Clone(i.Data)
	said := []string{i.Name, p.name}
	for range 1 + random.IntN(2) {
		f := p.fields[random.IntN(len(p.fields))]
		said = append(said, f.name+" "+f.lie(to[p.at+f.at:], random))
	}
	if p.name == journal { // it is to be replayed
		const incompatible, recover = superblock + 0x60, 4
		to[incompatible] |= recover
	}
	if p.seal != nil {
		p.seal(to, p)
	}
	return Case{strings.Join(said, ", "), i.Name, differences(i.Data, to)}
}

// lie writes another value, and returns it.
func (f field) lie(at []byte, random *rand.Rand) string {
	var was [4]byte
	copy(was[:], at[:f.size])
	old := binary.LittleEndian.Uint32(was[:])
	top := uint32(1) << (8*f.size - 1)
	values := []uint32{0, 1, old + 1, old - 1, old ^ 1<<random.IntN(8*f.size), old << 1, top - 1, top, top<<1 - 1, random.Uint32()}
	var is [4]byte
	value := values[random.IntN(len(values))]
	binary.LittleEndian.PutUint32(is[:], value)
	copy(at[:f.size], is[:f.size])
	return fmt.Sprintf("%#x", binary.LittleEndian.Uint32(is[:])&(top<<1-1))
}

// checksum is CRC-32C as ext4 has it: it begins with a value, and is not inverted at
// the end.
func checksum(begin uint32, data []byte) uint32 {
	return ^crc32.Update(^begin, crc32.MakeTable(crc32.Castagnoli), data)
}

func sealSuperblock(data []byte, p part) {
	const at = 0x3fc // s_checksum
	super := data[p.at : p.at+1024]
	binary.LittleEndian.PutUint32(super[at:], checksum(^uint32(0), super[:at]))
}

func sealDescriptor(data []byte, p part) {
	const at, size = 0x1e, 64 // bg_checksum; s_desc_size
	descriptor := data[p.at : p.at+size]
	sum := checksum(^uint32(0), data[superblock+0x68:superblock+0x78]) // s_uuid
	sum = checksum(sum, make([]byte, 4))                               // the number of the group
	sum = checksum(sum, descriptor[:at])
	sum = checksum(sum, make([]byte, 2))
	sum = checksum(sum, descriptor[at+2:])
	binary.LittleEndian.PutUint16(descriptor[at:], uint16(sum))
}

// differences are the bytes in which two images differ.
func differences(from, to []byte) (writes []Write) {
	for at := 0; at < len(from); at++ {
		if from[at] == to[at] {
			continue
		}
		end := at
		for end < len(from) && from[end] != to[end] {
			end++
		}
		writes = append(writes, Write{int64(at), to[at:end]})
		at = end
	}
	return writes
}
