package gpt

import (
	"fmt"
	"hash/crc32"
	"io"
)

// piece is a run of bytes that the table puts at one place of the disk.
type piece struct {
	name   string
	offset int64
	data   []byte
}

// Write puts the table on a disk, in this order:
//
//  1. the protective MBR, leaving the boot code before it as it is;
//  2. the backup array, then the backup header;
//  3. a flush, if w has a method Sync() error;
//  4. the primary array, then the primary header.
//
// Until step 4 the old primary copy counts, from then on the new backup does
// whenever the primary is torn. The caller flushes at the end, and may hold
// the disk against the table with Verify. Nothing is written of a table that
// Read would not accept.
func (t *Table) Write(w io.WriterAt) error {
	if err := t.validate(); err != nil {
		return fmt.Errorf("write partition table: %w", err)
	}
	backup, primary := t.pieces()
	if err := writePieces(w, backup); err != nil {
		return err
	}
	if disk, ok := w.(interface{ Sync() error }); ok {
		if err := disk.Sync(); err != nil {
			return fmt.Errorf("write partition table: flush: %w", err)
		}
	}
	return writePieces(w, primary)
}

func writePieces(w io.WriterAt, pieces []piece) error {
	for _, p := range pieces {
		if _, err := w.WriteAt(p.data, p.offset); err != nil {
			return fmt.Errorf("write %s: %w", p.name, err)
		}
	}
	return nil
}

// pieces encodes a valid table: the MBR and the backup, then the primary, each in
// the order they are written in.
func (t *Table) pieces() (backup, primary []piece) {
	last := t.Sectors - 1
	array := t.array()
	mbr := append(encode(newProtectiveMBR(t.Sectors)), make([]byte, t.SectorSize-512)...)
	at := func(lba uint64) int64 { return int64(lba) * t.SectorSize }
	backup = []piece{
		{"protective MBR", mbrOffset, mbr},
		{"backup partition array", at(last - t.arraySectors()), array},
		{"backup header", at(last), t.header(last, 1, last-t.arraySectors(), array)},
	}
	primary = []piece{
		{"primary partition array", at(2), array},
		{"primary header", at(1), t.header(1, last, 2, array)},
	}
	return backup, primary
}

// array encodes the partition entries.
func (t *Table) array() []byte {
	array := make([]byte, 0, arraySize)
	for _, p := range t.Partitions {
		if p.Used() {
			array = append(array, encode(newEntry(p))...)
		} else {
			array = append(array, make([]byte, entrySize)...)
		}
	}
	return array[:arraySize]
}

// header encodes the block of the header at my, whose array is at entries.
func (t *Table) header(my, alternate, entries uint64, array []byte) []byte {
	h := header{
		Signature:      signature,
		Revision:       revision,
		HeaderSize:     headerSize,
		MyLBA:          my,
		AlternateLBA:   alternate,
		FirstUsableLBA: t.FirstUsable(),
		LastUsableLBA:  t.LastUsable(),
		DiskGUID:       t.DiskID,
		EntriesLBA:     entries,
		EntryCount:     entryCount,
		EntrySize:      entrySize,
		EntriesCRC32:   crc32.ChecksumIEEE(array),
	}
	h.HeaderCRC32 = headerCRC(encode(h))
	return append(encode(h), make([]byte, t.SectorSize-headerSize)...)
}
