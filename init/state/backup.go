package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
)

// A superblock lies in two sectors of 512 bytes. A power cut may leave the new
// first one beside the old second one: its checksum does not match, neither the kernel
// nor e2fsck -p takes it, and nothing else of the file system is wrong. A copy of it
// stands at the start of other block groups (kernel:
// Documentation/filesystems/ext4/super.rst, sparse_super).

const (
	wholeSuperblock  = 1024 // bytes, with its checksum
	checksumOffset   = 0x3fc
	uuidOffset       = 0x68 // in the first sector
	groupOffset      = 0x5a // the block group that a copy stands in
	featureChecksums = 0x400
)

// errTorn tells of a superblock whose checksum does not match.
var errTorn = errors.New("the superblock's checksum does not match")

// backup is a copy of the superblock that e2fsck can go by.
type backup struct{ block, blockSize int64 }

// args make e2fsck use it.
func (b backup) args() []string {
	return []string{"-b", strconv.FormatInt(b.block, 10), "-B", strconv.FormatInt(b.blockSize, 10)}
}

// checkWhole tells whether the superblock of a file system is in one piece.
func checkWhole(r io.ReaderAt) error {
	super, err := readWhole(r, superblockOffset)
	if err != nil {
		return err
	}
	if !matches(super) {
		return errTorn
	}
	return nil
}

func readWhole(r io.ReaderAt, offset int64) ([]byte, error) {
	super := make([]byte, wholeSuperblock)
	if _, err := r.ReadAt(super, offset); err != nil {
		return nil, fmt.Errorf("read ext4 superblock: %w", err)
	}
	return super, nil
}

// matches tells whether a superblock has its right checksum, CRC32C without the last
// inversion. One of a file system without checksums has none to be wrong.
func matches(super []byte) bool {
	if binary.LittleEndian.Uint32(super[0x64:])&featureChecksums == 0 {
		return true
	}
	sum := ^crc32.Checksum(super[:checksumOffset], crc32.MakeTable(crc32.Castagnoli))
	return sum == binary.LittleEndian.Uint32(super[checksumOffset:])
}

// findBackup finds a whole copy of a torn superblock. It must be of the same file
// system, of the place it stands at, and no larger than the partition.
func findBackup(r io.ReaderAt, size int64) (backup, error) {
	primary, err := readWhole(r, superblockOffset)
	if err != nil {
		return backup{}, err
	}
	s, err := readSuperblock(r)
	if err != nil {
		return backup{}, err
	}
	perGroup := 8 * s.blockSize() // as mkfs.ext4 makes them: a bit of one block for each block
	for _, group := range []int64{1, 3, 5, 7, 9, 25, 27, 49} {
		b := backup{block: group * perGroup, blockSize: s.blockSize()}
		if b.blockSize == minBlockSize {
			b.block++ // the first group begins behind the boot sector's block
		}
		super, err := readWhole(r, b.block*b.blockSize)
		if err != nil {
			break // beyond the end
		}
		copied, err := readSuperblock(io.NewSectionReader(r, b.block*b.blockSize-superblockOffset, superblockOffset+wholeSuperblock))
		if err == nil && matches(super) && copied.blockSize() == b.blockSize && copied.blocks() <= size/b.blockSize &&
			int64(binary.LittleEndian.Uint16(super[groupOffset:])) == group &&
			bytes.Equal(super[uuidOffset:uuidOffset+16], primary[uuidOffset:uuidOffset+16]) {
			return b, nil
		}
	}
	return backup{}, fmt.Errorf("%w, and no copy of it is whole", errTorn)
}
