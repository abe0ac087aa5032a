// Package verity builds and checks dm-verity hash trees.
//
// It follows the kernel's Documentation/admin-guide/device-mapper/verity.rst
// and the superblock of cryptsetup (lib/verity/verity.c, "Verity hash device
// superblock"), for the one set of parameters that Ketch uses: hash type 1,
// data and hash blocks of 4096 bytes, SHA-256, any salt up to 256 bytes.
// Everything else is refused, never guessed at. Forward error correction and
// signatures of the root hash are left out.
//
// A hash device is laid out in blocks of 4096 bytes:
//
//	block 0   the superblock: 512 bytes, then zeros
//	block 1   the top level of the tree: one block
//	…         the levels below it, in order
//	last      the leaves: the digests of the data blocks
//
// A digest is SHA-256(salt ‖ block). A hash block holds 128 digests of the
// level below and is filled up with zeros. The root hash is the digest of the
// top block. Data of one block has no tree: its digest is the root hash.
//
// Hashing runs on all cores, and two blocks at a time on each (package sha256x2).
//
// The root hash covers the data, the tree and, by its shape, the salt and the
// number of blocks. It does not cover the UUID in the superblock.
package verity

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// Sizes in bytes, and how many digests one hash block holds.
const (
	BlockSize  = 4096
	DigestSize = 32
	MaxSalt    = 256
	fanOut     = BlockSize / DigestSize

	superblockSize = 512
	maxDataBlocks  = math.MaxInt64 / BlockSize
)

const (
	version   = 1
	hashType  = 1 // the salt comes first; type 0 is Chrome OS's old format
	algorithm = "sha256"
)

var signature = [8]byte{'v', 'e', 'r', 'i', 't', 'y'}

// Superblock is the first record of a hash device, little-endian on disk.
type Superblock struct {
	Signature     [8]byte       // 0: "verity\0\0"
	Version       uint32        // 8: 1
	HashType      uint32        // 12: 1
	UUID          [16]byte      // 16: in the order of its text form
	Algorithm     [32]byte      // 32: "sha256", NUL padded
	DataBlockSize uint32        // 64: bytes
	HashBlockSize uint32        // 68: bytes
	DataBlocks    uint64        // 72
	SaltSize      uint16        // 80: bytes of Salt in use
	Reserved1     [6]byte       // 82
	SaltField     [MaxSalt]byte // 88: zero from SaltSize on
	Reserved2     [168]byte     // 344
}

// newSuperblock describes a tree over dataBlocks blocks.
func newSuperblock(dataBlocks uint64, p Params) (*Superblock, error) {
	s := &Superblock{
		Signature: signature, Version: version, HashType: hashType, UUID: p.UUID,
		DataBlockSize: BlockSize, HashBlockSize: BlockSize,
		DataBlocks: dataBlocks, SaltSize: uint16(min(len(p.Salt), math.MaxUint16)),
	}
	copy(s.Algorithm[:], algorithm)
	copy(s.SaltField[:], p.Salt)
	return s, s.check()
}

// ReadSuperblock reads and checks the superblock at the start of a hash device.
func ReadSuperblock(r io.ReaderAt) (*Superblock, error) {
	var raw [superblockSize]byte
	if err := fixed.ReadAt(r, raw[:], 0); err != nil {
		return nil, fmt.Errorf("read verity superblock: %w", err)
	}
	s := new(Superblock)
	if _, err := binary.Decode(raw[:], binary.LittleEndian, s); err != nil {
		return nil, fmt.Errorf("read verity superblock: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("read verity superblock: %w", err)
	}
	return s, nil
}

// check refuses whatever newSuperblock would not have written.
func (s *Superblock) check() error {
	name, padding, _ := bytes.Cut(s.Algorithm[:], []byte{0})
	switch {
	case s.Signature != signature:
		return fmt.Errorf("signature is %q, not %q", s.Signature, signature)
	case s.Version != version:
		return fmt.Errorf("version %d, want %d", s.Version, version)
	case s.HashType != hashType:
		return fmt.Errorf("hash type %d, want %d", s.HashType, hashType)
	case string(name) != algorithm || !isZero(padding):
		return fmt.Errorf("algorithm %q, want %q", name, algorithm)
	case s.DataBlockSize != BlockSize || s.HashBlockSize != BlockSize:
		return fmt.Errorf("blocks of %d and %d bytes, want %d", s.DataBlockSize, s.HashBlockSize, BlockSize)
	case s.DataBlocks == 0:
		return errors.New("no data blocks")
	case s.DataBlocks > maxDataBlocks:
		return fmt.Errorf("%d data blocks are more than a device can hold", s.DataBlocks)
	case s.SaltSize > MaxSalt:
		return fmt.Errorf("salt of %d bytes, at most %d", s.SaltSize, MaxSalt)
	case !isZero(s.SaltField[s.SaltSize:]) || !isZero(s.Reserved1[:]) || !isZero(s.Reserved2[:]):
		return errors.New("reserved bytes are not zero")
	}
	return nil
}

// Salt returns the salt in use.
func (s *Superblock) Salt() []byte { return s.SaltField[:s.SaltSize] }

// DataSize returns the size of the data in bytes.
func (s *Superblock) DataSize() int64 { return int64(s.DataBlocks) * BlockSize }

// Sectors returns the length of the dm device in sectors of 512 bytes.
func (s *Superblock) Sectors() uint64 { return s.DataBlocks * (BlockSize / 512) }

// Table returns the parameters of the device-mapper target "verity": the devices
// by path or major:minor, the root hash, and optional arguments such as
// "panic_on_corruption".
func (s *Superblock) Table(dataDev, hashDev string, root [DigestSize]byte, opts ...string) string {
	salt := "-"
	if s.SaltSize > 0 {
		salt = hex.EncodeToString(s.Salt())
	}
	const hashStart = 1 // block of the hash device where the tree begins
	table := fmt.Sprintf("%d %s %s %d %d %d %d %s %x %s", s.HashType, dataDev, hashDev,
		s.DataBlockSize, s.HashBlockSize, s.DataBlocks, hashStart, algorithm, root, salt)
	if len(opts) == 0 {
		return table
	}
	return fmt.Sprintf("%s %d %s", table, len(opts), strings.Join(opts, " "))
}

// block encodes the superblock and the zeros behind it.
func (s *Superblock) block() ([]byte, error) {
	raw, err := binary.Append(make([]byte, 0, BlockSize), binary.LittleEndian, s)
	return raw[:BlockSize], err
}

func isZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
