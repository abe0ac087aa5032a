package verity

import (
	"bytes"
	"fmt"
	"io"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// CorruptError names a block that does not agree with the root hash.
type CorruptError struct {
	Area   string // "data" or "hash": which of the two devices
	Block  uint64 // counted from the start of that device, in units of BlockSize
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s block %d: %s", e.Area, e.Block, e.Reason)
}

// Verify checks every block of the data and of its hash device against root.
// It returns a *CorruptError for the first block that is wrong, walking the
// tree in the order of the data, a hash block before what lies under it. What
// follows the data and the tree on their devices is the caller's matter.
// In memory are a few blocks and a buffer of 512 KiB for every core.
func Verify(data, hash io.ReaderAt, root [DigestSize]byte) error {
	super, err := ReadSuperblock(hash)
	if err != nil {
		return err
	}
	if err := checkFirstBlock(hash); err != nil {
		return fmt.Errorf("verify hash tree: %w", err)
	}
	v := &verifier{data: data, hash: hash, super: super, pool: newPool()}
	v.levels, _ = layout(super.DataBlocks)
	// What the walk meets lies behind all that it has given to the pool.
	walked := v.subtree(len(v.levels), 0, root[:])
	if err := v.pool.wait(); err != nil {
		return fmt.Errorf("verify hash tree: %w", err)
	}
	if walked != nil {
		return fmt.Errorf("verify hash tree: %w", walked)
	}
	return nil
}

// checkFirstBlock checks the zeros behind the superblock.
func checkFirstBlock(hash io.ReaderAt) error {
	var rest [BlockSize - superblockSize]byte
	if err := fixed.ReadAt(hash, rest[:], superblockSize); err != nil {
		return fmt.Errorf("read hash block 0: %w", err)
	}
	if !isZero(rest[:]) {
		return &CorruptError{"hash", 0, "bytes after the superblock are not zero"}
	}
	return nil
}

type verifier struct {
	data, hash io.ReaderAt
	super      *Superblock
	levels     []level
	pool       *pool
}

// subtree checks block number of the hash level that is height levels above the
// data, and all that lies under it. Leaves are checked by the pool, in the
// background, with the data under them; so is data that has no tree.
func (v *verifier) subtree(height int, number uint64, want []byte) error {
	if height <= 1 {
		buf, err := v.pool.take()
		if err == nil {
			v.pool.run(number, buf, func() error { return v.leaf(height, number, want, buf) })
		}
		return err
	}
	block := make([]byte, BlockSize)
	digests, err := v.hashBlock(newDigester(v.super.Salt()), height, number, want, block)
	if err != nil {
		return err
	}
	for i := uint64(0); len(digests) > 0; i, digests = i+1, digests[DigestSize:] {
		if err := v.subtree(height-1, number*fanOut+i, digests[:DigestSize]); err != nil {
			return err
		}
	}
	return nil
}

// hashBlock reads block number of a level, checks it against its digest and
// its padding, and returns the digests it holds.
func (v *verifier) hashBlock(d digester, height int, number uint64, want, block []byte) ([]byte, error) {
	l, below := v.levels[height-1], v.super.DataBlocks
	if height > 1 {
		below = v.levels[height-2].blocks
	}
	at := l.first + number
	if err := fixed.ReadAt(v.hash, block, int64(at)*BlockSize); err != nil {
		return nil, fmt.Errorf("read hash block %d: %w", at, err)
	}
	if !bytes.Equal(d.append(nil, block), want) {
		return nil, &CorruptError{"hash", at, "digest does not match"}
	}
	used := min(fanOut, below-number*fanOut) * DigestSize
	if !isZero(block[used:]) {
		return nil, &CorruptError{"hash", at, fmt.Sprintf("holds more digests than the %d data blocks need", v.super.DataBlocks)}
	}
	return block[:used], nil
}

// leaf checks one leaf and the data under it. At height 0 there is no leaf and
// want is the digest of the only data block.
func (v *verifier) leaf(height int, number uint64, want, buf []byte) (err error) {
	d := newDigester(v.super.Salt())
	digests := want
	if height == 1 {
		if digests, err = v.hashBlock(d, height, number, want, make([]byte, BlockSize)); err != nil {
			return err
		}
	}
	first := number * fanOut
	group := buf[:len(digests)/DigestSize*BlockSize]
	if err := fixed.ReadAt(v.data, group, int64(first)*BlockSize); err != nil {
		return fmt.Errorf("read data block %d: %w", first, err)
	}
	got := d.appendEach(make([]byte, 0, BlockSize), group)
	for i := 0; i < len(got); i += DigestSize {
		if !bytes.Equal(got[i:i+DigestSize], digests[i:i+DigestSize]) {
			return &CorruptError{"data", first + uint64(i/DigestSize), "digest does not match"}
		}
	}
	return nil
}
