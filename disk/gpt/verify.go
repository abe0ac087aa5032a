package gpt

import (
	"fmt"
	"io"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// Range is a run of bytes on the disk.
type Range struct {
	Offset int64
	Size   int64
}

// Verify holds a disk against the table, byte for byte: every block that Write
// writes, and boot code that is all zero. The error names the first piece
// that differs. Read is more lenient: it takes any valid table.
func (t *Table) Verify(r io.ReaderAt) error {
	if err := t.validate(); err != nil {
		return fmt.Errorf("verify partition table: %w", err)
	}
	backup, primary := t.pieces()
	bootCode := piece{"boot code before the protective MBR", 0, make([]byte, mbrOffset)}
	for _, p := range append(append([]piece{bootCode}, primary...), backup...) {
		got := make([]byte, len(p.data))
		if err := fixed.ReadAt(r, got, p.offset); err != nil {
			return fmt.Errorf("verify %s: %w", p.name, err)
		}
		if at := fixed.Difference(got, p.data); at >= 0 {
			return fmt.Errorf("verify %s: byte %d (disk offset %d) is %#02x, want %#02x", p.name, at, p.offset+int64(at), got[at], p.data[at])
		}
	}
	return nil
}

// Gaps returns the usable ranges that no partition holds, in order.
func (t *Table) Gaps() []Range {
	var gaps []Range
	next := t.FirstUsable()
	for next <= t.LastUsable() {
		end, after := t.LastUsable()+1, t.LastUsable()+1
		for _, p := range t.Partitions {
			if p.Used() && p.Last >= next && p.First < end {
				end, after = max(p.First, next), p.Last+1
			}
		}
		if end > next {
			gaps = append(gaps, Range{int64(next) * t.SectorSize, int64(end-next) * t.SectorSize})
		}
		next = after
	}
	return gaps
}

// Describe names what lies at a byte of the disk: a part of the table, a partition, or unused space.
func (t *Table) Describe(offset int64) string {
	backup, primary := t.pieces()
	for _, p := range append(backup, primary...) {
		if offset >= p.offset && offset < p.offset+int64(len(p.data)) {
			return p.name
		}
	}
	for i, p := range t.Partitions {
		if start := p.Offset(t.SectorSize); p.Used() && offset >= start && offset < start+p.Size(t.SectorSize) {
			return fmt.Sprintf("partition %d (%s)", i+1, p.Name)
		}
	}
	switch {
	case offset >= 0 && offset < mbrOffset:
		return "boot code before the protective MBR"
	case offset < 0 || offset >= int64(t.Sectors)*t.SectorSize:
		return "beyond the disk"
	}
	return "unused space"
}
