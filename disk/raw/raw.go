// Package raw reads raw disk images: the bytes of a disk, one after the other,
// with holes where nothing was ever written.
//
// The writers of the other formats are built on it. A disk is cut into chunks
// of one size; chunks of zeros are left out; the others are read and encoded
// on all cores and written in the order of the disk. What comes out depends on
// the bytes of the disk alone: not on where its file has holes, and not on the
// number of cores. In memory are a few chunks for each core.
package raw

import (
	"bytes"
	"fmt"
	"io"
)

// SectorSize is the unit, in bytes, that disks are measured in.
const SectorSize = 512

// Disk is a raw disk image.
type Disk struct {
	io.ReaderAt
	Size int64 // bytes, a multiple of SectorSize
	// Extents calls do for every range of the disk that may hold data, in
	// order; the rest is zero. Nil stands for one range: the whole disk.
	Extents func(do func(start, end int64) error) error
	// Progress, if not nil, is told how many bytes of the extents have been
	// dealt with; DataSize says of how many, but for the rounding to chunks.
	Progress func(done int64)
}

// Check tells whether the size is one that a disk can have.
func (d *Disk) Check() error {
	if d.Size <= 0 || d.Size%SectorSize != 0 {
		return fmt.Errorf("a disk of %d bytes: want a multiple of %d", d.Size, SectorSize)
	}
	return nil
}

func (d *Disk) extents(do func(start, end int64) error) error {
	if d.Extents == nil {
		return do(0, d.Size)
	}
	return d.Extents(do)
}

// DataSize adds up the extents.
func (d *Disk) DataSize() (size int64, err error) {
	err = d.extents(func(start, end int64) error {
		size += min(end, d.Size) - start
		return nil
	})
	return size, err
}

// eachChunk calls do with the offset of every chunk that may hold data, once each.
func (d *Disk) eachChunk(size int64, do func(offset int64) error) error {
	next := int64(0) // the first chunk not yet visited
	return d.extents(func(start, end int64) error {
		for at := max(start/size*size, next); at < min(end, d.Size); at += size {
			if err := do(at); err != nil {
				return err
			}
			next = at + size
		}
		return nil
	})
}

// IsZero tells whether all of b is zero.
func IsZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// zeros is only read.
var zeros [4096]byte
