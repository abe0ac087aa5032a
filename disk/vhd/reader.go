package vhd

import (
	"fmt"
	"io"
)

// Reader reads the disk in a file: an io.ReaderAt of Footer.CurrentSize bytes.
// It may be used by several goroutines.
type Reader struct {
	Footer Footer
	Header Header // of a dynamic disk

	file   io.ReaderAt
	blocks []uint32 // the block allocation table: sectors; nil for a fixed disk
}

// Open opens a file of size bytes.
func Open(file io.ReaderAt, size int64) (*Reader, error) {
	f, err := ReadFooter(file, size)
	if err != nil {
		return nil, err
	}
	d := &Reader{Footer: f, file: file}
	if f.DiskType == Fixed {
		return d, nil
	}
	if d.Header, err = ReadHeader(file, size, f); err != nil {
		return nil, err
	}
	count := divideUp(int64(f.CurrentSize), BlockSize)
	b, err := readAt(file, int64(d.Header.TableOffset), count*4)
	if err != nil {
		return nil, fmt.Errorf("read VHD block allocation table: %w", err)
	}
	d.blocks = make([]uint32, count)
	decode(b, d.blocks)
	return d, nil
}

// ReadAt implements io.ReaderAt.
func (d *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	size := int64(d.Footer.CurrentSize)
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	if int64(len(p)) > size-off {
		p, err = p[:size-off], io.EOF
	}
	for n < len(p) {
		more, err := d.readInBlock(p[n:], off+int64(n))
		if err != nil {
			return n, fmt.Errorf("read VHD disk at %d: %w", off+int64(n), err)
		}
		n += more
	}
	return n, err
}

// readInBlock fills p up to the end of the block that off is in. The bitmap in
// front of a block says which sectors were written; the others are zero in the
// file, too, whoever wrote it, and the bitmap needs no look.
func (d *Reader) readInBlock(p []byte, off int64) (int, error) {
	at := off
	if d.Footer.DiskType == Dynamic {
		in := off % BlockSize
		p = p[:min(int64(len(p)), BlockSize-in)]
		block := d.blocks[off/BlockSize]
		if block == noBlock {
			clear(p)
			return len(p), nil
		}
		at = int64(block)*sectorSize + bitmapSize + in
	}
	if n, err := d.file.ReadAt(p, at); n < len(p) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return len(p), nil
}
