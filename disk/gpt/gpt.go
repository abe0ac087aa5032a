// Package gpt reads and writes GUID partition tables (UEFI 2.10, chapter 5).
//
// A disk carries the table twice. From its first logical block (LBA) to its last:
//
//	0            protective MBR (5.2.3)
//	1            primary header (5.3.2)
//	2 …          primary partition entry array (5.3.3)
//	first usable LBA … last usable LBA
//	…            backup partition entry array
//	last         backup header
//
// Read trusts a copy only when everything the specification says of it holds:
// signature, both CRCs, its own position, every bound. Write always writes 128
// entries of 128 bytes, the backup before the primary, so that at every moment
// one copy on the disk is whole.
//
// Left out: entries larger than 128 bytes and tables of more than 128 entries
// are read but not written; hybrid MBRs; the meaning of types and attributes.
package gpt

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	entryCount = 128 // entries in the arrays we write
	arraySize  = entryCount * 128
	nameUnits  = 36 // UTF-16 code units in a partition's name
)

// Table is a partition table. Its zero value wants DiskID, SectorSize and Sectors.
type Table struct {
	DiskID     GUID
	SectorSize int64       // bytes in a logical block: 512 or 4096
	Sectors    uint64      // logical blocks on the disk that the table describes
	Partitions []Partition // index + 1 is the partition's number

	// Damage says what Read found wrong beside the copy it returned: one line a
	// fault, none on a disk as Write leaves it. Write repairs every one of
	// them, but for a disk that has grown, which takes a Resize.
	Damage []string
}

// Partition is one entry of the table. An entry with a zero Type is unused.
type Partition struct {
	Type       GUID
	ID         GUID
	First      uint64 // first logical block
	Last       uint64 // last logical block, inclusive
	Attributes uint64
	Name       string // at most 36 UTF-16 code units
}

// Used tells whether the entry describes a partition.
func (p Partition) Used() bool { return !p.Type.IsZero() }

// Offset returns where the partition starts, in bytes from the disk's start.
func (p Partition) Offset(sectorSize int64) int64 { return int64(p.First) * sectorSize }

// Size returns the partition's size in bytes.
func (p Partition) Size(sectorSize int64) int64 { return int64(p.Last-p.First+1) * sectorSize }

// arraySectors returns the logical blocks that one partition entry array takes.
func (t *Table) arraySectors() uint64 { return uint64(arraySize / t.SectorSize) }

// FirstUsable returns the first logical block a partition may have.
func (t *Table) FirstUsable() uint64 { return 2 + t.arraySectors() }

// LastUsable returns the last logical block a partition may have.
func (t *Table) LastUsable() uint64 { return t.Sectors - t.arraySectors() - 2 }

// ByID returns the number of the partition with this unique identifier, 0 for none.
func (t *Table) ByID(id GUID) int {
	return 1 + slices.IndexFunc(t.Partitions, func(p Partition) bool { return p.Used() && p.ID == id })
}

// ByType returns the numbers of the partitions of one type.
func (t *Table) ByType(kind GUID) []int {
	var numbers []int
	for i, p := range t.Partitions {
		if p.Used() && p.Type == kind {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// Resize makes the table describe a disk of that many logical blocks: Write
// then puts the backup at the disk's new end. It refuses a size that the
// partitions do not fit.
func (t *Table) Resize(sectors uint64) error {
	resized := *t
	resized.Sectors = sectors
	if err := resized.validate(); err != nil {
		return fmt.Errorf("resize partition table to %d sectors: %w", sectors, err)
	}
	t.Sectors = sectors
	return nil
}

// Grow extends a partition to the last usable block, or to the partition that follows it.
func (t *Table) Grow(number int) error {
	if number < 1 || number > len(t.Partitions) || !t.Partitions[number-1].Used() {
		return fmt.Errorf("grow partition %d: no such partition", number)
	}
	p := &t.Partitions[number-1]
	last := t.LastUsable()
	for _, other := range t.Partitions {
		if other.Used() && other.First > p.Last {
			last = min(last, other.First-1)
		}
	}
	p.Last = max(p.Last, last)
	return nil
}

// validate checks what must hold of any table before a byte of it is written.
func (t *Table) validate() error {
	switch {
	case t.SectorSize != 512 && t.SectorSize != 4096:
		return fmt.Errorf("sector size %d: want 512 or 4096", t.SectorSize)
	case t.Sectors < 2*t.FirstUsable():
		return fmt.Errorf("%d sectors hold no two tables and a partition", t.Sectors)
	case t.Sectors > 1<<63/uint64(t.SectorSize)-1:
		return fmt.Errorf("%d sectors are more bytes than fit 63 bits", t.Sectors)
	case t.DiskID.IsZero():
		return errors.New("the disk GUID is zero")
	case len(t.Partitions) > entryCount:
		return fmt.Errorf("%d partitions: at most %d fit", len(t.Partitions), entryCount)
	}
	for i, p := range t.Partitions {
		if err := checkName(p.Name); p.Used() && err != nil {
			return fmt.Errorf("partition %d: %w", i+1, err)
		}
	}
	return checkPartitions(t.Partitions, t.FirstUsable(), t.LastUsable())
}

// checkPartitions checks that partitions lie within the usable blocks, and that
// no two of them share a block or an identifier.
func checkPartitions(partitions []Partition, firstUsable, lastUsable uint64) error {
	var order []int
	for i, p := range partitions {
		switch {
		case !p.Used():
			continue
		case p.ID.IsZero():
			return fmt.Errorf("partition %d: its unique GUID is zero", i+1)
		case p.First > p.Last:
			return fmt.Errorf("partition %d: ends at block %d, before its start %d", i+1, p.Last, p.First)
		case p.First < firstUsable || p.Last > lastUsable:
			return fmt.Errorf("partition %d: blocks %d–%d are outside the usable %d–%d", i+1, p.First, p.Last, firstUsable, lastUsable)
		}
		order = append(order, i)
	}
	return checkPairs(partitions, order)
}

// checkPairs looks for shared identifiers and shared blocks among the used entries.
func checkPairs(partitions []Partition, used []int) error {
	owner := make(map[GUID]int)
	for _, i := range used {
		if first, taken := owner[partitions[i].ID]; taken {
			return fmt.Errorf("partitions %d and %d have the same unique GUID %s", first+1, i+1, partitions[i].ID)
		}
		owner[partitions[i].ID] = i
	}
	slices.SortFunc(used, func(a, b int) int {
		if partitions[a].First < partitions[b].First {
			return -1
		}
		return 1
	})
	for k := 1; k < len(used); k++ {
		a, b := used[k-1], used[k]
		if partitions[b].First <= partitions[a].Last {
			return fmt.Errorf("partitions %d and %d overlap", min(a, b)+1, max(a, b)+1)
		}
	}
	return nil
}

// checkName tells whether a name survives being written and read.
func checkName(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("name %q is not valid UTF-8", name)
	}
	units := utf16.Encode([]rune(name))
	if len(units) > nameUnits {
		return fmt.Errorf("name %q is longer than %d UTF-16 code units", name, nameUnits)
	}
	if slices.Contains(units, 0) {
		return fmt.Errorf("name %q contains a NUL", name)
	}
	return nil
}
