package gpt

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// maxArray bounds what Read allocates for an array: the 16 KiB that everybody
// writes, with much room.
const maxArray = 1 << 20

// disk is what a table is read from.
type disk struct {
	r          io.ReaderAt
	sectorSize int64
	sectors    uint64
}

// Read reads the table of a disk of size bytes, whose logical blocks may have
// 512 or 4096 bytes: on a block device, hold Table.SectorSize against the
// device's. It returns the primary copy if that is valid, else the backup at
// the disk's last block, and lists in Damage what else is wrong. A disk
// larger than its table counts as damage too; one that is smaller is an error.
//
// A primary copy for either size counts before any backup: at the end of a disk
// that an image was written to may still be the backup of what it held before.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	var disks []disk
	var primaryErrs, faults []error
	for _, sectorSize := range []int64{512, 4096} {
		d := disk{r, sectorSize, uint64(max(size, 0) / sectorSize)}
		primary, err := d.primary()
		if err == nil {
			return d.withBackup(primary), nil
		}
		disks, primaryErrs = append(disks, d), append(primaryErrs, err)
	}
	none := true
	for i, d := range disks {
		backup, err := d.backup()
		none = none && absent(primaryErrs[i]) && absent(err)
		if err == nil {
			backup.Damage = append(d.mbrDamage(backup), "primary copy: "+primaryErrs[i].Error())
			return backup, nil
		}
		faults = append(faults, fmt.Errorf("%d-byte sectors: primary copy: %w; backup copy: %w", d.sectorSize, primaryErrs[i], err))
	}
	if none {
		return nil, errors.New("read partition table: there is none")
	}
	return nil, fmt.Errorf("read partition table: %w; %w", faults[0], faults[1])
}

var (
	errNoSignature = errors.New("no signature")
	errTooSmall    = errors.New("the disk has no room for a table")
)

// absent tells that nothing was written where a copy would be.
func absent(err error) bool { return errors.Is(err, errNoSignature) || errors.Is(err, errTooSmall) }

// primary reads the copy at the disk's start.
func (d disk) primary() (*Table, error) {
	if d.sectors < 3 {
		return nil, errTooSmall
	}
	return d.copyAt(1)
}

// backup reads the copy at the disk's end.
func (d disk) backup() (*Table, error) {
	if d.sectors < 3 {
		return nil, errTooSmall
	}
	return d.copyAt(d.sectors - 1)
}

// withBackup adds to a primary copy what is wrong with its backup.
func (d disk) withBackup(primary *Table) *Table {
	primary.Damage = d.mbrDamage(primary)
	add := func(format string, args ...any) {
		primary.Damage = append(primary.Damage, fmt.Sprintf("backup copy: "+format, args...))
	}
	if primary.Sectors != d.sectors {
		add("at block %d, not at the disk's last block %d", primary.Sectors-1, d.sectors-1)
	}
	backup, err := d.copyAt(primary.Sectors - 1)
	switch {
	case err != nil:
		add("%v", err)
	case backup.DiskID != primary.DiskID || !slices.Equal(backup.Partitions, primary.Partitions):
		add("differs from the primary copy")
	}
	return primary
}

// mbrDamage checks the protective MBR against a table.
func (d disk) mbrDamage(t *Table) []string {
	raw := make([]byte, 512)
	if err := fixed.ReadAt(d.r, raw, 0); err != nil {
		return []string{"protective MBR: " + err.Error()}
	}
	var mbr protectiveMBR
	decode(raw[mbrOffset:], &mbr)
	want := newProtectiveMBR(t.Sectors)
	got := mbr.Records[0]
	switch {
	case mbr.Signature != want.Signature:
		return []string{"protective MBR: no signature"}
	case got.OSType != osTypeProtective || got.StartingLBA != 1:
		return []string{"protective MBR: its first record does not protect the disk"}
	case got.SizeInLBA != want.Records[0].SizeInLBA && got.SizeInLBA != 0xffffffff:
		return []string{fmt.Sprintf("protective MBR: covers %d blocks, want %d", got.SizeInLBA, want.Records[0].SizeInLBA)}
	}
	return nil
}

// copyAt reads the copy whose header is at block lba: 1 for the primary.
func (d disk) copyAt(lba uint64) (*Table, error) {
	h, err := d.header(lba)
	if err != nil {
		return nil, err
	}
	if err := d.checkHeader(h, lba); err != nil {
		return nil, err
	}
	partitions, err := d.partitions(h)
	if err != nil {
		return nil, err
	}
	if err := checkPartitions(partitions, h.FirstUsableLBA, h.LastUsableLBA); err != nil {
		return nil, err
	}
	return &Table{
		DiskID:     h.DiskGUID,
		SectorSize: d.sectorSize,
		Sectors:    max(h.MyLBA, h.AlternateLBA) + 1,
		Partitions: partitions,
	}, nil
}

// header reads the header at a block and checks what must hold of its bytes alone.
func (d disk) header(lba uint64) (h header, err error) {
	raw := make([]byte, d.sectorSize)
	if err := fixed.ReadAt(d.r, raw, int64(lba)*d.sectorSize); err != nil {
		return h, fmt.Errorf("read block %d: %w", lba, err)
	}
	decode(raw, &h)
	switch {
	case h.Signature != signature:
		return h, errNoSignature
	case h.Revision != revision:
		return h, fmt.Errorf("unknown revision %#x", h.Revision)
	case h.HeaderSize < headerSize || int64(h.HeaderSize) > d.sectorSize:
		return h, fmt.Errorf("header of %d bytes", h.HeaderSize)
	case h.HeaderCRC32 != headerCRC(raw[:h.HeaderSize]):
		return h, errors.New("wrong header checksum")
	}
	return h, nil
}

// checkHeader checks every place that a header names: the order of UEFI 2.10,
// 5.3.1 is block 0, primary header, array, usable blocks, array, backup header.
func (d disk) checkHeader(h header, lba uint64) error {
	arrayBytes := uint64(h.EntryCount) * uint64(h.EntrySize)
	arrayBlocks := (arrayBytes + uint64(d.sectorSize) - 1) / uint64(d.sectorSize)
	from, to := uint64(2), h.FirstUsableLBA // where the array must lie, to excluded
	if lba != 1 {
		from, to = h.LastUsableLBA+1, h.MyLBA
	}
	last := max(h.MyLBA, h.AlternateLBA)
	switch {
	case h.MyLBA != lba:
		return fmt.Errorf("header says it is at block %d", h.MyLBA)
	case min(h.MyLBA, h.AlternateLBA) != 1 || last == 1:
		return fmt.Errorf("header says the other copy is at block %d", h.AlternateLBA)
	case last >= d.sectors:
		return fmt.Errorf("backup copy at block %d, beyond the disk's %d", last, d.sectors)
	case h.FirstUsableLBA < 2 || h.LastUsableLBA >= last || h.FirstUsableLBA > h.LastUsableLBA:
		return fmt.Errorf("usable blocks %d–%d", h.FirstUsableLBA, h.LastUsableLBA)
	case h.EntrySize < entrySize || h.EntrySize&(h.EntrySize-1) != 0 || arrayBytes > maxArray:
		return fmt.Errorf("array of %d entries of %d bytes", h.EntryCount, h.EntrySize)
	case h.EntriesLBA < from || h.EntriesLBA > to || arrayBlocks > to-h.EntriesLBA:
		return fmt.Errorf("array at blocks %d–%d, outside %d–%d", h.EntriesLBA, h.EntriesLBA+arrayBlocks-1, from, to-1)
	}
	return nil
}

// partitions reads the array of a checked header, without its unused tail.
func (d disk) partitions(h header) ([]Partition, error) {
	raw := make([]byte, int64(h.EntryCount)*int64(h.EntrySize))
	if err := fixed.ReadAt(d.r, raw, int64(h.EntriesLBA)*d.sectorSize); err != nil {
		return nil, fmt.Errorf("read array: %w", err)
	}
	if h.EntriesCRC32 != crc32.ChecksumIEEE(raw) {
		return nil, errors.New("wrong array checksum")
	}
	var partitions []Partition
	for i := range int(h.EntryCount) {
		slot := raw[i*int(h.EntrySize):]
		if GUID(slot[:16]).IsZero() {
			continue
		}
		var e entry
		decode(slot, &e)
		partitions = append(partitions, make([]Partition, i-len(partitions))...) // unused ones before it
		partitions = append(partitions, e.partition())
	}
	return partitions, nil
}
