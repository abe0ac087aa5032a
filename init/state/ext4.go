package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// superblock is the part of struct ext4_super_block that says whether a file
// system is whole (kernel: Documentation/filesystems/ext4/super.rst). It lies
// 1024 bytes into the partition, little-endian.
type superblock struct {
	_               [4]byte  // 0x00: inode count
	BlocksCountLow  uint32   // 0x04
	ReservedLow     uint32   // 0x08: blocks that not everybody gets
	_               [12]byte // 0x0c
	LogBlockSize    uint32   // 0x18: block size is 1024 << this
	_               [28]byte // 0x1c
	Magic           uint16   // 0x38
	State           uint16   // 0x3a
	_               [36]byte // 0x3c
	FeatureIncompat uint32   // 0x60
	FeatureROCompat uint32   // 0x64
	_               [232]byte
	BlocksCountHigh uint32 // 0x150: with feature 64bit
}

const (
	superblockOffset = 1024
	superblockSize   = 0x154
	magic            = 0xef53
	stateClean       = 1      // unmounted cleanly
	stateErrors      = 2      // the kernel found an error
	featureRecover   = 0x4    // the journal wants to be replayed
	feature64bit     = 0x80   // BlocksCountHigh counts
	featureQuota     = 0x100  // of FeatureROCompat: quotas are counted
	featureProject   = 0x2000 // and each inode has a project
	maxLogBlockSize  = 6      // 64 KiB, the most ext4 knows
	minBlockSize     = 1 << 10
)

// errNoFileSystem tells that there is no ext4 at all.
var errNoFileSystem = errors.New("no ext4 superblock")

func readSuperblock(r io.ReaderAt) (*superblock, error) {
	var s superblock
	section := io.NewSectionReader(r, superblockOffset, superblockSize)
	if err := binary.Read(section, binary.LittleEndian, &s); err != nil {
		return nil, fmt.Errorf("read ext4 superblock: %w", err)
	}
	if s.Magic != magic || s.LogBlockSize > maxLogBlockSize {
		return nil, errNoFileSystem
	}
	return &s, nil
}

// clean tells that nothing needs checking: it was unmounted and no error is noted.
func (s *superblock) clean() bool {
	return s.State&stateClean != 0 && s.State&stateErrors == 0 && s.FeatureIncompat&featureRecover == 0
}

// quotas tells whether project quotas can be enforced.
func (s *superblock) quotas() bool {
	return s.FeatureROCompat&featureQuota != 0 && s.FeatureROCompat&featureProject != 0
}

// equipped tells whether workloads can be bounded, and something is kept from them.
func (s *superblock) equipped() bool { return s.quotas() && s.ReservedLow > 0 }

// blockSize is in bytes.
func (s *superblock) blockSize() int64 { return minBlockSize << s.LogBlockSize }

// blocks is the size of the file system in blocks.
func (s *superblock) blocks() int64 {
	blocks := int64(s.BlocksCountLow)
	if s.FeatureIncompat&feature64bit != 0 {
		blocks |= int64(s.BlocksCountHigh) << 32
	}
	return blocks
}
