// Package writelog reads the log of a disk's writes and flushes, and makes what the
// disk would hold after a power cut.
//
// The format is that of the device-mapper target log-writes (Linux:
// Documentation/admin-guide/device-mapper/log-writes.rst and
// drivers/md/dm-log-writes.c), which QEMU's block driver blklogwrites writes too:
// a superblock in the first sector, then the entries, each in a sector of its own
// and followed by its data, if it has any. Marks are skipped.
package writelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	magic   = 0x6a736677736872
	version = 1
	// maxSector is the largest sector size that QEMU takes (8 MiB).
	minSector, maxSector = 512, 8 << 20
	maxEntries           = 1 << 24
)

// superblock is struct log_write_super.
type superblock struct {
	Magic      uint64 // 0
	Version    uint64 // 8
	Entries    uint64 // 16
	SectorSize uint32 // 24
}

// record is struct log_write_entry.
type record struct {
	Sector  uint64 // 0
	Sectors uint64 // 8
	Flags   uint64 // 16
	DataLen uint64 // 24: of a mark
}

// Flags of an Entry.
const (
	Flush   = 1 << iota // everything before is on the medium
	FUA                 // this write is on the medium once it has been done
	Discard             // the range's content is given up; there is no data
	Mark                // a label: no write at all
)

// Entry is a write, a discard, a flush, or more than one of them.
type Entry struct {
	Flags  uint64
	Offset int64 // on the disk, in bytes
	Size   int64 // bytes
	data   int64 // offset in the log
}

// Flushes tells that what was written before is on the medium.
func (e Entry) Flushes() bool { return e.Flags&Flush != 0 }

// Log is a log that has been read.
type Log struct {
	Entries []Entry
	r       io.ReaderAt
}

// Read reads the entries of a log of size bytes, but not their data.
func Read(r io.ReaderAt, size int64) (*Log, error) {
	var super superblock
	if err := binary.Read(io.NewSectionReader(r, 0, size), binary.LittleEndian, &super); err != nil {
		return nil, fmt.Errorf("read superblock of write log: %w", err)
	}
	sector := int64(super.SectorSize)
	if super.Magic != magic || super.Version != version {
		return nil, errors.New("read superblock of write log: no log of version 1")
	}
	if sector < minSector || sector > maxSector || sector&(sector-1) != 0 || super.Entries > maxEntries {
		return nil, fmt.Errorf("read superblock of write log: %d entries in sectors of %d bytes", super.Entries, sector)
	}
	l := &Log{r: r}
	at := sector
	for n := range super.Entries {
		next, err := l.read(at, size, sector)
		if err != nil {
			return nil, fmt.Errorf("read entry %d of write log: %w", n, err)
		}
		at = next
	}
	return l, nil
}

// read reads the entry at an offset of the log and returns where the next one is.
func (l *Log) read(at, size, sector int64) (next int64, err error) {
	var r record
	if err := binary.Read(io.NewSectionReader(l.r, at, size-at), binary.LittleEndian, &r); err != nil {
		return 0, err
	}
	const maxBytes = 1 << 50 // no disk is as large; sums stay far from overflow
	if r.Sector > maxBytes/uint64(sector) || r.Sectors > maxBytes/uint64(sector) || r.DataLen > maxBytes {
		return 0, fmt.Errorf("%d sectors at %d", r.Sectors, r.Sector)
	}
	e := Entry{Flags: r.Flags, Offset: int64(r.Sector) * sector, Size: int64(r.Sectors) * sector, data: at + sector}
	next = e.data
	switch {
	case e.Flags&Mark != 0:
		return next + (int64(r.DataLen)+sector-1)/sector*sector, nil
	case e.Flags&Discard == 0:
		next += e.Size
	}
	if next > size {
		return 0, io.ErrUnexpectedEOF
	}
	l.Entries = append(l.Entries, e)
	return next, nil
}

// Apply makes an entry's write on a disk, or only its first bytes: a write that
// was torn. A discarded range reads as zeros.
func (l *Log) Apply(disk io.WriterAt, e Entry, size int64) error {
	from := io.NewSectionReader(l.r, e.data, e.Size)
	buffer := make([]byte, 1<<20)
	size = min(size, e.Size)
	for at := int64(0); at < size; at += int64(len(buffer)) {
		part := buffer[:min(size-at, int64(len(buffer)))]
		if e.Flags&Discard != 0 {
			clear(part)
		} else if _, err := from.ReadAt(part, at); err != nil {
			return fmt.Errorf("read data of write log: %w", err)
		}
		if _, err := disk.WriteAt(part, e.Offset+at); err != nil {
			return fmt.Errorf("replay write log: %w", err)
		}
	}
	return nil
}

// Epochs splits the entries after each flush. A power cut keeps all of the epochs
// before it, and of its own any of the writes, in any order.
func (l *Log) Epochs() (epochs [][]Entry) {
	start := 0
	for i, e := range l.Entries {
		if e.Flushes() {
			epochs = append(epochs, l.Entries[start:i+1])
			start = i + 1
		}
	}
	if start < len(l.Entries) {
		epochs = append(epochs, l.Entries[start:])
	}
	return epochs
}
