package gpt

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// copies are the bytes of each copy that its checksums cover: header and array.
func copies(t *Table) map[string][]Range {
	last := int64(t.Sectors-1) * t.SectorSize
	return map[string][]Range{
		"primary": {{t.SectorSize, headerSize}, {2 * t.SectorSize, arraySize}},
		"backup":  {{last, headerSize}, {last - arraySize, arraySize}},
	}
}

// TestDamage changes the bytes of either copy, one after the other: Read gives
// the table from the other copy, names the damage, and Write repairs it.
func TestDamage(t *testing.T) {
	for _, sectorSize := range []int64{512, 4096} {
		want := small(sectorSize)
		b := write(t, want)
		pristine := bytes.Clone(b)
		for name, ranges := range copies(want) {
			for _, r := range ranges {
				for at := int64(0); at < r.Size; at++ {
					if at > 5*entrySize {
						at += 10 // the unused entries are alike
					}
					b[r.Offset+min(at, r.Size-1)] ^= 0x40
					checkDamage(t, name, want, b)
					if at%16 == 0 {
						repair(t, b)
					} else {
						copy(b, pristine)
					}
					if t.Failed() {
						t.Fatalf("… at byte %d of the table's %s copy, sectors of %d bytes", at, name, sectorSize)
					}
				}
			}
		}
		if !bytes.Equal(b, pristine) {
			t.Error("repaired disks are not as new")
		}
	}
}

// checkDamage reads a disk on which only the named copy is damaged.
func checkDamage(t *testing.T, name string, want *Table, b image) {
	t.Helper()
	got := read(t, b)
	if len(got.Damage) != 1 || !strings.HasPrefix(got.Damage[0], name+" copy: ") {
		t.Errorf("damage %q", got.Damage)
	}
	if !equal(want, got) {
		t.Errorf("another table (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func repair(t *testing.T, b image) {
	t.Helper()
	if err := read(t, b).Write(b); err != nil {
		t.Error(err)
	}
	if got := read(t, b); len(got.Damage) > 0 {
		t.Errorf("not repaired: %q", got.Damage)
	}
}

func equal(a, b *Table) bool {
	return a.DiskID == b.DiskID && a.SectorSize == b.SectorSize && a.Sectors == b.Sectors && slices.Equal(a.Partitions, b.Partitions)
}

// TestStaleBackup: a disk was in use with sectors of one size, and an image for the
// other was written to its start. The table is the image's, whatever the disk's end
// still holds.
func TestStaleBackup(t *testing.T) {
	for _, sectorSize := range []int64{512, 4096} {
		old := small(512 + 4096 - sectorSize)
		if err := old.Resize(uint64(4 * mib / old.SectorSize)); err != nil {
			t.Fatal(err)
		}
		disk, want := write(t, old), small(sectorSize)
		copy(disk, write(t, want))
		if got := read(t, disk); !equal(want, got) {
			t.Errorf("an image of %d-byte sectors on another disk (-want +got):\n%s", sectorSize, cmp.Diff(want, got))
		}
	}
}

func TestBothDamaged(t *testing.T) {
	b := write(t, small(512))
	b[512+60] ^= 1
	b[len(b)-512+60] ^= 1
	_, err := Read(b, int64(len(b)))
	if err == nil || !strings.Contains(err.Error(), "primary copy: wrong header checksum; backup copy: wrong header checksum") {
		t.Errorf("Read = %v", err)
	}
	for _, size := range []int{0, 1, 511, 512, 1024, 1536, 4096, mib} {
		if _, err := Read(make(image, size), int64(size)); err == nil {
			t.Errorf("%d zero bytes are a table", size)
		}
	}
	if _, err := Read(make(image, 512), -5); err == nil {
		t.Error("a disk of negative size has a table")
	}
	if _, err := Read(make(image, 512), 2*mib); err == nil {
		t.Error("a disk shorter than its size has a table")
	}
}

// reseal computes the checksums of a changed copy again, so that only the other
// checks are left to catch it.
func reseal(b image, headerAt int64) {
	var h header
	decode(b[headerAt:], &h)
	at, size := int64(h.EntriesLBA)*512, int64(h.EntryCount)*int64(h.EntrySize)
	if at >= 0 && size >= 0 && size < mib && at+size <= int64(len(b)) {
		binary.LittleEndian.PutUint32(b[headerAt+88:], crc32.ChecksumIEEE(b[at:at+size]))
	}
	if h.HeaderSize <= 512 && h.HeaderSize >= 20 {
		binary.LittleEndian.PutUint32(b[headerAt+16:], headerCRC(b[headerAt:headerAt+int64(h.HeaderSize)]))
	}
}

// TestLies: copies whose checksums hold but whose content cannot be.
func TestLies(t *testing.T) {
	put64 := func(offset int, value uint64) func(image) {
		return func(b image) { binary.LittleEndian.PutUint64(b[offset:], value) }
	}
	put32 := func(offset int, value uint32) func(image) {
		return func(b image) { binary.LittleEndian.PutUint32(b[offset:], value) }
	}
	const h, first, second = 512, 1024, 1024 + 3*128 // the header, entries 1 and 4
	for _, test := range []struct {
		want   string
		change func(image)
	}{
		{"unknown revision 0x20000", put32(h+8, 0x20000)},
		{"header of 91 bytes", put32(h+12, 91)},
		{"header of 513 bytes", put32(h+12, 513)},
		{"says it is at block 2", put64(h+24, 2)},
		{"other copy is at block 1", put64(h+32, 1)},
		{"other copy is at block 0", put64(h+32, 0)},
		{"backup copy at block 4096, beyond the disk's 4096", put64(h+32, 4096)},
		{"beyond the disk", put64(h+32, 1<<63)},
		{"usable blocks 1–4062", put64(h+40, 1)},
		{"usable blocks 34–33", put64(h+48, 33)},
		{"usable blocks 34–4095", put64(h+48, 4095)},
		{"usable blocks", put64(h+48, 1<<64-1)},
		{"array at blocks 1–32", put64(h+72, 1)},
		{"array at blocks 3–34, outside 2–33", put64(h+72, 3)},
		{"array at blocks", put64(h+72, 1<<64-1)},
		{"array of 4294967295 entries of 128 bytes", put32(h+80, 1<<32-1)},
		{"array at blocks 2–34", put32(h+80, 129)},
		{"array of 128 entries of 0 bytes", put32(h+84, 0)},
		{"array of 128 entries of 64 bytes", put32(h+84, 64)},
		{"array of 128 entries of 192 bytes", put32(h+84, 192)},
		{"array of 128 entries of 2147483648 bytes", put32(h+84, 1<<31)},
		{"partition 1: blocks 33–47 are outside", put64(first+32, 33)},
		{"partition 1: ends at block 39, before its start 40", put64(first+40, 39)},
		{"partition 4: blocks 48–4063 are outside", put64(second+40, 4063)},
		{"partitions 1 and 4 overlap", put64(first+40, 48)},
		{"partitions 1 and 4 have the same unique GUID", func(b image) { copy(b[second+16:second+32], b[first+16:]) }},
		{"partition 1: its unique GUID is zero", func(b image) { clear(b[first+16 : first+32]) }},
	} {
		b := write(t, small(512))
		test.change(b)
		reseal(b, 512)
		got := read(t, b)
		if len(got.Damage) != 1 || !strings.Contains(got.Damage[0], test.want) || !strings.HasPrefix(got.Damage[0], "primary copy") {
			t.Errorf("damage %q; want %q", got.Damage, test.want)
		}
	}
}

// TestOtherTables reads what others write: few entries, larger ones, an array elsewhere.
func TestOtherTables(t *testing.T) {
	want := small(512)
	b := write(t, want)
	array := bytes.Clone(b[1024 : 1024+arraySize])
	clear(b[1024 : 1024+arraySize])
	for i := range 8 {
		copy(b[4096+i*256:], array[i*128:(i+1)*128])
	}
	binary.LittleEndian.PutUint64(b[512+72:], 8)
	binary.LittleEndian.PutUint32(b[512+80:], 8)
	binary.LittleEndian.PutUint32(b[512+84:], 256)
	reseal(b, 512)
	if got := read(t, b); len(got.Damage) > 0 || !equal(want, got) {
		t.Errorf("table differs, damage %q", got.Damage)
	}
}

func TestDamageBesides(t *testing.T) {
	changed := small(512)
	changed.Partitions[0].Name = "other"
	other := write(t, changed)
	for _, test := range []struct {
		want   string
		change func(image)
	}{
		{"protective MBR: no signature", func(b image) { b[511] = 0 }},
		{"protective MBR: its first record does not protect the disk", func(b image) { b[450] = 0x83 }},
		{"protective MBR: covers 4094 blocks, want 4095", func(b image) { b[458] = 0xfe }},
		{"backup copy: differs from the primary copy", func(b image) { copy(b[len(b)-33*512:], other[len(b)-33*512:]) }},
	} {
		b := write(t, small(512))
		test.change(b)
		got := read(t, b)
		if len(got.Damage) != 1 || got.Damage[0] != test.want {
			t.Errorf("damage %q; want %q", got.Damage, test.want)
		}
		if err := got.Write(b); err != nil {
			t.Fatal(err)
		}
		if got := read(t, b); len(got.Damage) > 0 {
			t.Errorf("%s: not repaired: %q", test.want, got.Damage)
		}
	}
}

// TestGrownDisk is the first boot on a disk larger than the image.
func TestGrownDisk(t *testing.T) {
	b := append(write(t, small(512)), make([]byte, 6*mib)...)
	got := read(t, b)
	if len(got.Damage) != 1 || got.Damage[0] != "backup copy: at block 4095, not at the disk's last block 16383" {
		t.Errorf("damage %q", got.Damage)
	}
	if err := got.Resize(uint64(len(b) / 512)); err != nil {
		t.Fatal(err)
	}
	if err := got.Grow(3); err != nil {
		t.Fatal(err)
	}
	if err := got.Write(b); err != nil {
		t.Fatal(err)
	}
	again := read(t, b)
	if len(again.Damage) > 0 || again.Sectors != 16384 || again.Partitions[2].Last != again.LastUsable() {
		t.Errorf("after growing: %+v", again)
	}
	b[600]++ // the backup at the new end counts
	if again := read(t, b); again.Sectors != 16384 {
		t.Errorf("backup describes %d sectors", again.Sectors)
	}
	// A disk cut short has no valid table.
	if _, err := Read(b[:7*mib], 7*mib); err == nil {
		t.Error("the table of a truncated disk is accepted")
	}
}

func FuzzRead(f *testing.F) {
	for _, sectorSize := range []int64{512, 4096} {
		table := small(sectorSize)
		table.Sectors = 128 // 64 or 512 KiB
		table.Partitions = table.Partitions[:1]
		table.Partitions[0].First, table.Partitions[0].Last = 40, 47
		b := write(f, table)
		f.Add([]byte(b[sectorSize:sectorSize+512]), []byte(b[2*sectorSize:2*sectorSize+256]), sectorSize == 4096, true)
	}
	f.Fuzz(func(t *testing.T, head, entries []byte, large, seal bool) {
		b := make(image, 128*4096)
		sectorSize := 512
		if large {
			sectorSize = 4096
		}
		copy(b[sectorSize:], head)
		copy(b[2*sectorSize:], entries)
		copy(b[len(b)-sectorSize:], head)
		if seal && !large {
			reseal(b, 512)
		}
		table, err := Read(b, int64(len(b)))
		if err != nil {
			return
		}
		// What Read accepts lies within the disk; what Write accepts reads back.
		for i, p := range table.Partitions {
			if p.Used() && p.Offset(table.SectorSize)+p.Size(table.SectorSize) > int64(len(b)) {
				t.Errorf("partition %d is beyond the disk: %+v", i+1, p)
			}
		}
		table.Damage = nil
		if table.Write(b) == nil {
			if got := read(t, b[:int64(table.Sectors)*table.SectorSize]); !equal(table, got) {
				t.Errorf("written and read again (-want +got):\n%s", cmp.Diff(table, got))
			}
		}
	})
}
