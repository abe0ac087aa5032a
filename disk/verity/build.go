package verity

import (
	"errors"
	"fmt"
	"io"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// Params are the free parameters of a hash device. Both are the caller's:
// they decide whether two builds give the same bytes.
type Params struct {
	UUID [16]byte // in the order of its text form
	Salt []byte   // at most MaxSalt bytes; none is allowed
}

// Build hashes the first size bytes of data, a multiple of BlockSize, and writes
// the hash device: HashSize(size) bytes. It returns the root hash.
func Build(data io.ReaderAt, size int64, p Params, hash io.WriterAt) (root [DigestSize]byte, err error) {
	w, err := NewWriter(size, p, hash)
	if err != nil {
		return root, err
	}
	for number := range w.groups() {
		buf, err := w.pool.take()
		if err != nil {
			break // Finish returns it
		}
		off := int64(number) * groupSize
		group := buf[:min(groupSize, size-off)]
		w.left -= int64(len(group))
		w.pool.run(number, buf, func() error {
			if err := fixed.ReadAt(data, group, off); err != nil {
				return fmt.Errorf("read data at %d: %w", off, err)
			}
			return w.leaf(number, group)
		})
	}
	return w.Finish()
}

// Writer builds a hash device from data that is written to it, on all cores.
// Leaves go to the hash device as soon as they are full; in memory are one
// digest for every 512 KiB of data and a buffer of that size for every core.
type Writer struct {
	hash   io.WriterAt
	super  *Superblock
	levels []level
	pool   *pool

	digests []byte // of the leaves; of the data block if there are no leaves
	group   uint64 // number of the group being filled
	buf     []byte // the pool's buffer for it, nil until needed
	filled  int
	left    int64 // bytes of data still to come
}

// NewWriter starts a hash device for exactly size bytes of data, a multiple of BlockSize.
func NewWriter(size int64, p Params, hash io.WriterAt) (*Writer, error) {
	if size < 0 || size%BlockSize != 0 {
		return nil, fmt.Errorf("build hash tree: data of %d bytes is not a multiple of %d", size, BlockSize)
	}
	super, err := newSuperblock(uint64(size)/BlockSize, p)
	if err != nil {
		return nil, fmt.Errorf("build hash tree: %w", err)
	}
	levels, _ := layout(super.DataBlocks)
	w := &Writer{hash: hash, super: super, levels: levels, pool: newPool(), left: size}
	w.digests = make([]byte, w.groups()*DigestSize)
	return w, nil
}

// groups counts the groups of up to fanOut data blocks.
func (w *Writer) groups() uint64 { return (w.super.DataBlocks-1)/fanOut + 1 }

// Write takes the next bytes of the data. It keeps no reference to p. An error
// may belong to bytes written earlier.
func (w *Writer) Write(p []byte) (n int, err error) {
	if int64(len(p)) > w.left {
		return 0, errors.New("more data than the hash tree was made for")
	}
	for len(p) > 0 {
		space, err := w.space()
		if err != nil {
			return n, err
		}
		k := copy(space, p)
		w.advance(k)
		n, p = n+k, p[k:]
	}
	return n, nil
}

// space returns what is free in the group being filled.
func (w *Writer) space() (_ []byte, err error) {
	if w.buf == nil {
		if w.buf, err = w.pool.take(); err != nil {
			return nil, err
		}
	}
	return w.buf[w.filled:min(groupSize, int64(w.filled)+w.left)], nil
}

// advance counts n new bytes and hands a full group to the pool.
func (w *Writer) advance(n int) {
	w.filled += n
	w.left -= int64(n)
	if w.filled < groupSize && w.left > 0 {
		return
	}
	number, buf, data := w.group, w.buf, w.buf[:w.filled]
	w.pool.run(number, buf, func() error { return w.leaf(number, data) })
	w.group, w.buf, w.filled = w.group+1, nil, 0
}

// leaf hashes one group of data, writes its leaf and keeps the leaf's digest.
func (w *Writer) leaf(number uint64, data []byte) error {
	d := newDigester(w.super.Salt())
	digest := w.digests[number*DigestSize:][:0:DigestSize]
	if len(w.levels) == 0 {
		d.append(digest, data)
		return nil
	}
	block := d.appendEach(make([]byte, 0, BlockSize), data)[:BlockSize]
	d.append(digest, block)
	return w.writeBlock(w.levels[0].first+number, block)
}

// Finish writes the upper levels, then the superblock, and returns the root hash.
// All data must have been written.
func (w *Writer) Finish() (root [DigestSize]byte, err error) {
	if err := w.pool.wait(); err != nil {
		return root, fmt.Errorf("build hash tree: %w", err)
	}
	if w.left > 0 {
		return root, fmt.Errorf("build hash tree: data ends %d bytes early: %w", w.left, io.ErrUnexpectedEOF)
	}
	if err := w.upperLevels(); err != nil {
		return root, fmt.Errorf("build hash tree: %w", err)
	}
	block, err := w.super.block()
	if err == nil {
		err = w.writeBlock(0, block)
	}
	if err != nil {
		return root, fmt.Errorf("build hash tree: %w", err)
	}
	return [DigestSize]byte(w.digests), nil
}

// upperLevels turns the digests of one level into the blocks of the next, up to the root.
func (w *Writer) upperLevels() error {
	d := newDigester(w.super.Salt())
	for _, l := range w.levels[min(1, len(w.levels)):] {
		below := w.digests
		w.digests = make([]byte, 0, l.blocks*DigestSize)
		for i := range l.blocks {
			block := make([]byte, BlockSize)
			copy(block, below[i*BlockSize:])
			w.digests = d.append(w.digests, block)
			if err := w.writeBlock(l.first+i, block); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Writer) writeBlock(number uint64, block []byte) error {
	if _, err := w.hash.WriteAt(block, int64(number)*BlockSize); err != nil {
		return fmt.Errorf("write hash block %d: %w", number, err)
	}
	return nil
}
