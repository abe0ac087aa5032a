package vhd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ketch-os/ketch/disk/raw"
)

// Options are the free parameters of a disk: they decide whether two writers
// give the same bytes.
type Options struct {
	ID   [16]byte  // of the disk
	Time time.Time // of creation
}

// pageSize is what the data of a block is aligned to, in bytes.
const pageSize = 4096

// chunkSize is how much is read at a time, in bytes: a part of a block.
const chunkSize = 1 << 20

// WriteFixed writes the disk to w, where nothing is yet, as a fixed one.
// Zeros are left out of the file, as far as its holes read as zeros.
func WriteFixed(ctx context.Context, w io.WriterAt, disk *raw.Disk, o Options) error {
	if err := checkSize(disk.Size); err != nil {
		return err
	}
	if err := disk.Copy(ctx, w); err != nil {
		return fmt.Errorf("write VHD: %w", err)
	}
	if _, err := w.WriteAt(newFooter(disk.Size, Fixed, o).encode(), disk.Size); err != nil {
		return fmt.Errorf("write VHD footer: %w", err)
	}
	return nil
}

// WriteDynamic writes the disk to w, where nothing is yet, as a dynamic one.
func WriteDynamic(ctx context.Context, w io.WriterAt, disk *raw.Disk, o Options) error {
	if err := checkSize(disk.Size); err != nil {
		return err
	}
	f := newFile(w, disk.Size)
	if err := disk.Chunks(ctx, chunkSize, nil, f.add); err != nil {
		return fmt.Errorf("write VHD: %w", err)
	}
	if err := f.finish(newFooter(disk.Size, Dynamic, o).encode()); err != nil {
		return fmt.Errorf("write VHD: %w", err)
	}
	return nil
}

func checkSize(size int64) error {
	if size > maxDisk {
		return fmt.Errorf("write VHD: a disk of %d bytes: the format holds %d GiB", size, maxDisk>>30)
	}
	return nil
}

// file is a dynamic disk being written.
type file struct {
	w     io.WriterAt
	size  int64    // of the disk
	table []uint32 // the sector of each block's bitmap
	end   int64    // of what is written
}

func newFile(w io.WriterAt, size int64) *file {
	f := &file{w: w, size: size, table: make([]uint32, divideUp(size, BlockSize))}
	for i := range f.table {
		f.table[i] = noBlock
	}
	f.end = tableOffset + int64(len(f.tables()))
	return f
}

// tables encodes the block allocation table and XenServer's block map.
func (f *file) tables() []byte {
	b := pad(encode(f.table), 0xff)
	blocks := make([]byte, max(divideUp(int64(len(f.table)), 8), 1))
	for i, sector := range f.table {
		if sector != noBlock {
			blocks[i/8] |= 0x80 >> (i % 8)
		}
	}
	blocks = pad(blocks, 0)
	summed := max(divideUp(f.size/BlockSize/8, sectorSize), 1) * sectorSize // as Xen's tools do: it may leave out the last sector
	header := blockMap{
		Cookie: cookieMap, Offset: uint64(tableOffset + len(b) + sectorSize), Sectors: uint32(len(blocks) / sectorSize),
		Version: blockMapVersion, Checksum: checksum(blocks[:summed]),
	}
	return append(append(b, encode(header)...), blocks...)
}

// pad fills b up to whole sectors.
func pad(b []byte, with byte) []byte {
	n := divideUp(int64(len(b)), sectorSize)*sectorSize - int64(len(b))
	return append(b, bytes.Repeat([]byte{with}, int(n))...)
}

// add writes a part of a block; the first part gives the block its place.
func (f *file) add(c raw.Chunk) error {
	number := c.Offset / BlockSize
	if f.table[number] == noBlock {
		data := divideUp(f.end+bitmapSize, pageSize) * pageSize
		f.table[number] = uint32((data - bitmapSize) / sectorSize)
		// Every sector is said to hold data: zeros do as well as others.
		if _, err := f.w.WriteAt(bytes.Repeat([]byte{0xff}, bitmapSize), data-bitmapSize); err != nil {
			return err
		}
		f.end = data + BlockSize
	}
	place := int64(f.table[number])*sectorSize + bitmapSize + c.Offset%BlockSize
	return raw.Write(f.w, c.Data, place)
}

// finish writes what lies around the blocks.
func (f *file) finish(footer []byte) error {
	header := Header{
		Cookie: cookieDynamic, DataOffset: noNextHeader, TableOffset: tableOffset,
		Version: version, MaxTableEntries: uint32(len(f.table)), BlockSize: BlockSize,
	}
	for _, piece := range []struct {
		data   []byte
		offset int64
	}{{footer, 0}, {header.encode(), dynamicOffset}, {f.tables(), tableOffset}, {footer, f.end}} {
		if _, err := f.w.WriteAt(piece.data, piece.offset); err != nil {
			return err
		}
	}
	return nil
}

func divideUp(n, by int64) int64 { return (n + by - 1) / by }
