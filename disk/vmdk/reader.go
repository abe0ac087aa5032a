package vmdk

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// Reader reads the disk in a stream-optimized file: an io.ReaderAt of Size
// bytes. It keeps one grain table and one grain in memory, and may be used by
// several goroutines.
type Reader struct {
	Footer     Header
	Descriptor string
	Size       int64

	file      io.ReaderAt
	directory []uint32 // sectors of the grain tables

	lock    sync.Mutex
	tableAt uint32 // sector of table; 0: none is loaded
	table   []uint32
	grainAt int64 // place of grain on the disk; -1: none is loaded
	grain   []byte
}

// Open opens a file of size bytes.
func Open(file io.ReaderAt, size int64) (*Reader, error) {
	footer, text, err := ReadHeader(file, size)
	if err != nil {
		return nil, err
	}
	d := &Reader{Footer: footer, Descriptor: text, Size: int64(footer.Capacity) * sectorSize, file: file, grainAt: -1}
	d.directory = make([]uint32, divideUp(int64(footer.Capacity), grainSectors*entriesPerTable))
	if err := readRecord(file, int64(footer.GrainDirectory)*sectorSize, d.directory); err != nil {
		return nil, fmt.Errorf("read VMDK grain directory: %w", err)
	}
	return d, nil
}

// ReadAt implements io.ReaderAt.
func (d *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off >= d.Size {
		return 0, io.EOF
	}
	if int64(len(p)) > d.Size-off {
		p, err = p[:d.Size-off], io.EOF
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	for n < len(p) {
		more, err := d.readInGrain(p[n:], off+int64(n))
		if err != nil {
			return n, fmt.Errorf("read VMDK disk at %d: %w", off+int64(n), err)
		}
		n += more
	}
	return n, err
}

// readInGrain fills p up to the end of the grain that off is in.
func (d *Reader) readInGrain(p []byte, off int64) (int, error) {
	in := off % GrainSize
	p = p[:min(int64(len(p)), GrainSize-in)]
	sector, err := d.entry(off / GrainSize)
	if err != nil {
		return 0, err
	}
	if sector <= 1 { // nothing there, or zeros that were written
		clear(p)
		return len(p), nil
	}
	if err := d.inflate(sector, off-in); err != nil {
		return 0, fmt.Errorf("grain at sector %d of the file: %w", sector, err)
	}
	copy(p, d.grain[in:])
	return len(p), nil
}

// entry is the grain table's entry for a grain of the disk.
func (d *Reader) entry(grain int64) (uint32, error) {
	at := d.directory[grain/entriesPerTable]
	if at == 0 {
		return 0, nil
	}
	if at != d.tableAt {
		d.tableAt = 0
		d.table = make([]uint32, entriesPerTable)
		if err := readRecord(d.file, int64(at)*sectorSize, d.table); err != nil {
			return 0, fmt.Errorf("grain table at sector %d: %w", at, err)
		}
		d.tableAt = at
	}
	return d.table[grain%entriesPerTable], nil
}

// inflate makes the grain that starts at diskAt on the disk the one in memory.
func (d *Reader) inflate(sector uint32, diskAt int64) error {
	if d.grainAt == diskAt {
		return nil
	}
	var m grainMarker
	at := int64(sector) * sectorSize
	if err := readRecord(d.file, at, &m); err != nil {
		return err
	}
	if m.Sector != uint64(diskAt/sectorSize) {
		return fmt.Errorf("its marker says sector %d of the disk, want %d", m.Sector, diskAt/sectorSize)
	}
	z, err := zlib.NewReader(io.NewSectionReader(d.file, at+int64(binary.Size(m)), int64(m.Size)))
	if err != nil {
		return err
	}
	defer z.Close()
	d.grainAt = -1
	grain := bytes.NewBuffer(d.grain[:0])
	if _, err := grain.ReadFrom(io.LimitReader(z, GrainSize+1)); err != nil {
		return err
	}
	// The last grain may end with the disk.
	if n := int64(grain.Len()); n > GrainSize || n < min(GrainSize, d.Size-diskAt) {
		return fmt.Errorf("holds %d bytes, want %d", n, GrainSize)
	}
	d.grain, d.grainAt = grain.Bytes(), diskAt
	return nil
}
