package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/layout"
)

const mib = 1 << 20

// id makes identifiers that are easy to tell apart.
func id(n byte) GUID { return GUID{0: 0xa0, 7: 0x40, 8: 0x80, 15: n + 1} }

// image is a disk in memory.
type image []byte

func (b image) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(b).ReadAt(p, offset)
}

func (b image) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset+int64(len(p)) > int64(len(b)) {
		return 0, errors.New("outside the disk")
	}
	return copy(b[offset:], p), nil
}

// small is a table of a disk of 2 MiB.
func small(sectorSize int64) *Table {
	return &Table{
		DiskID: id(100), SectorSize: sectorSize, Sectors: uint64(2 * mib / sectorSize),
		Partitions: []Partition{
			{Type: MustParseGUID(layout.TypeESP), ID: id(1), First: 40, Last: 47, Name: "ESP"},
			{},
			{Type: MustParseGUID(layout.TypeBoot), ID: id(3), First: 100, Last: 100, Attributes: 1<<63 | 1, Name: "ümlaut 🚢"},
			{Type: MustParseGUID(layout.TypeState), ID: id(4), First: 48, Last: 99, Name: strings.Repeat("x", nameUnits)},
		},
	}
}

// ketch is the table of a real image, as layout has it.
func ketch(sectorSize int64, size int64) *Table {
	t := &Table{DiskID: id(100), SectorSize: sectorSize, Sectors: uint64(size / sectorSize)}
	at := int64(layout.Alignment)
	for i, row := range layout.AMD64.Partitions() {
		length := row.Size
		if length == 0 {
			length = size - layout.Alignment - at
		}
		t.Partitions = append(t.Partitions, Partition{
			Type: MustParseGUID(row.Type), ID: id(byte(i)), Name: row.Label,
			First: uint64(at / sectorSize), Last: uint64((at+length)/sectorSize) - 1,
		})
		at += length
	}
	return t
}

func write(t testing.TB, table *Table) image {
	t.Helper()
	b := make(image, int64(table.Sectors)*table.SectorSize)
	if err := table.Write(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t testing.TB, b image) *Table {
	t.Helper()
	table, err := Read(b, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestRecordSizes(t *testing.T) {
	for _, test := range []struct {
		record any
		want   int
	}{
		{header{}, headerSize}, {entry{}, entrySize}, {protectiveMBR{}, 512 - mbrOffset}, {mbrRecord{}, 16},
	} {
		if got := binary.Size(test.record); got != test.want {
			t.Errorf("Size(%T) = %d; want %d", test.record, got, test.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, sectorSize := range []int64{512, 4096} {
		want := small(sectorSize)
		b := write(t, want)
		got := read(t, b)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d-byte sectors (-want +got):\n%s", sectorSize, diff)
		}
		if err := got.Verify(b); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(b, write(t, got)) {
			t.Errorf("%d-byte sectors: written twice, the bytes differ", sectorSize)
		}
	}
}

func TestFind(t *testing.T) {
	table := ketch(512, 4*layout.GiB)
	if got := table.ByID(id(6)); got != layout.NumBoot {
		t.Errorf("ByID = %d; want %d", got, layout.NumBoot)
	}
	if got := table.ByID(id(50)); got != 0 {
		t.Errorf("ByID of nothing = %d; want 0", got)
	}
	if got := small(512).ByID(GUID{}); got != 0 {
		t.Errorf("ByID of zero = %d; want 0", got)
	}
	if got := table.ByType(MustParseGUID(layout.AMD64.Usr)); !slices.Equal(got, []int{layout.NumUsrA, layout.NumUsrB}) {
		t.Errorf("ByType = %v", got)
	}
	esp := table.Partitions[layout.NumESP-1]
	if esp.Offset(512) != layout.Alignment || esp.Size(512) != layout.SizeESP {
		t.Errorf("ESP at %d, %d bytes", esp.Offset(512), esp.Size(512))
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, test := range []struct {
		want   string
		change func(*Table)
	}{
		{"sector size 520", func(t *Table) { t.SectorSize = 520 }},
		{"hold no two tables", func(t *Table) { t.Sectors = 67 }},
		{"more bytes than fit 63 bits", func(t *Table) { t.Sectors = 1 << 60 }},
		{"disk GUID is zero", func(t *Table) { t.DiskID = GUID{} }},
		{"129 partitions: at most 128 fit", func(t *Table) { t.Partitions = make([]Partition, 129) }},
		{"partition 1: blocks 33–47 are outside the usable 34–4062", func(t *Table) { t.Partitions[0].First = 33 }},
		{"partition 4: blocks 48–4063 are outside", func(t *Table) { t.Partitions[3].Last = 4063 }},
		{"partition 3: ends at block 98, before its start 100", func(t *Table) { t.Partitions[2].Last = 98 }},
		{"partitions 3 and 4 overlap", func(t *Table) { t.Partitions[3].Last = 100 }},
		{"partitions 1 and 4 overlap", func(t *Table) { t.Partitions[0].Last = 48 }},
		{"partitions 1 and 4 have the same unique GUID", func(t *Table) { t.Partitions[3].ID = t.Partitions[0].ID }},
		{"partition 1: its unique GUID is zero", func(t *Table) { t.Partitions[0].ID = GUID{} }},
		{"longer than 36", func(t *Table) { t.Partitions[0].Name = strings.Repeat("x", 37) }},
		{"longer than 36", func(t *Table) { t.Partitions[0].Name = strings.Repeat("🚢", 19) }},
		{"not valid UTF-8", func(t *Table) { t.Partitions[0].Name = "\xff" }},
		{"contains a NUL", func(t *Table) { t.Partitions[0].Name = "a\x00b" }},
	} {
		table := small(512)
		test.change(table)
		b := make(image, 2*mib)
		err := table.Write(b)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Write = %v; want %q", err, test.want)
		}
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("%s: something was written", test.want)
		}
	}
}

func TestResizeAndGrow(t *testing.T) {
	table := ketch(512, 4*layout.GiB)
	state := &table.Partitions[layout.NumState-1]
	if err := table.Resize(20 * layout.GiB / 512); err != nil {
		t.Fatal(err)
	}
	if err := table.Grow(layout.NumState); err != nil {
		t.Fatal(err)
	}
	if want := uint64(20*layout.GiB/512 - 34); state.Last != want || table.LastUsable() != want {
		t.Errorf("state ends at %d, last usable %d; want %d", state.Last, table.LastUsable(), want)
	}
	// A partition with another behind it grows up to that one.
	usr := &table.Partitions[layout.NumUsrA-1]
	end := usr.Last
	usr.Last -= 1000
	if err := table.Grow(layout.NumUsrA); err != nil || usr.Last != end {
		t.Errorf("Grow: %v, ends at %d; want %d", err, usr.Last, end)
	}
	// What does not fit any more is refused and changes nothing.
	if err := table.Resize(4 * layout.GiB / 512); err == nil || table.Sectors != 20*layout.GiB/512 {
		t.Errorf("Resize below the partitions: %v, %d sectors", err, table.Sectors)
	}
	for _, number := range []int{-1, 0, 9, 200} {
		if err := table.Grow(number); err == nil {
			t.Errorf("Grow(%d): no error", number)
		}
	}
}

// order records the places written, and when the flush came.
type order struct{ calls []string }

func (o *order) WriteAt(b []byte, offset int64) (int, error) {
	o.calls = append(o.calls, fmt.Sprint(offset))
	return len(b), nil
}

func (o *order) Sync() error {
	o.calls = append(o.calls, "sync")
	return nil
}

func TestWriteOrder(t *testing.T) {
	var o order
	if err := small(512).Write(&o); err != nil {
		t.Fatal(err)
	}
	const end = 2 * mib
	want := []string{"440", fmt.Sprint(end - 33*512), fmt.Sprint(end - 512), "sync", "1024", "512"}
	if diff := cmp.Diff(want, o.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// failing lets the first n writes through.
type failing struct {
	image
	n int
}

func (f *failing) WriteAt(b []byte, offset int64) (int, error) {
	if f.n--; f.n < 0 {
		// A torn write: its start arrives.
		f.image.WriteAt(b[:50], offset)
		return 50, errors.New("power cut")
	}
	return f.image.WriteAt(b, offset)
}

// TestPowerCut: after a cut at any write the disk has the old table or the new one.
func TestPowerCut(t *testing.T) {
	for n := range 6 {
		b := write(t, small(512))
		table := read(t, b)
		table.Partitions[0].Name = "changed"
		table.Partitions[0].ID = id(77)
		disk := &failing{b, n}
		err := table.Write(disk)
		if n < 5 && err == nil {
			t.Fatalf("write %d did not fail", n)
		}
		got := read(t, b)
		if name := got.Partitions[0].Name; name != "ESP" && name != "changed" {
			t.Errorf("cut at write %d: partition 1 is %q", n, name)
		}
		if n < 5 != (len(got.Damage) > 0) && n > 0 {
			t.Errorf("cut at write %d: damage %q", n, got.Damage)
		}
	}
}

func TestBootCodeStays(t *testing.T) {
	b := make(image, 2*mib)
	copy(b, bytes.Repeat([]byte{0x90}, mbrOffset))
	table := small(512)
	if err := table.Write(b); err != nil {
		t.Fatal(err)
	}
	if b[0] != 0x90 || b[mbrOffset-1] != 0x90 {
		t.Error("Write overwrote boot code")
	}
	if err := table.Verify(b); err == nil || !strings.Contains(err.Error(), "boot code") {
		t.Errorf("Verify = %v; want it to name the boot code", err)
	}
}

func TestProtectiveMBR(t *testing.T) {
	for _, test := range []struct {
		sectors uint64
		want    uint32
	}{
		{1 << 20, 1<<20 - 1}, {1 << 32, 0xffffffff}, {1<<32 + 1, 0xffffffff}, {1<<32 - 1, 0xfffffffe}, {1 << 40, 0xffffffff},
	} {
		if got := newProtectiveMBR(test.sectors).Records[0].SizeInLBA; got != test.want {
			t.Errorf("a disk of %d sectors: the record covers %d; want %d", test.sectors, got, test.want)
		}
	}
}

// TestVerify changes every byte that the table is responsible for.
func TestVerify(t *testing.T) {
	for _, sectorSize := range []int64{512, 4096} {
		table := small(sectorSize)
		b := write(t, table)
		tableSize := int64(table.FirstUsable()) * sectorSize
		backup := int64(table.LastUsable()+1) * sectorSize
		for offset := int64(0); offset < int64(len(b)); offset++ {
			if offset >= tableSize && offset < backup {
				offset = backup
			}
			b[offset] ^= 1
			if err := table.Verify(b); err == nil || !strings.Contains(err.Error(), table.Describe(offset)) {
				t.Fatalf("byte %d: Verify = %v; want it to name the %s", offset, err, table.Describe(offset))
			}
			b[offset] ^= 1
			if offset > 3*sectorSize && offset%7 != 0 {
				offset += 30 // the empty entries are alike
			}
		}
	}
}

func TestGaps(t *testing.T) {
	table := small(512)
	want := []Range{{34 * 512, 6 * 512}, {101 * 512, (4062 - 101 + 1) * 512}}
	if diff := cmp.Diff(want, table.Gaps()); diff != "" {
		t.Errorf("Gaps (-want +got):\n%s", diff)
	}
	if got := (&Table{SectorSize: 512, Sectors: 4096}).Gaps(); len(got) != 1 {
		t.Errorf("Gaps of an empty table = %v", got)
	}
}

func TestDescribe(t *testing.T) {
	table := small(512)
	for offset, want := range map[int64]string{
		0: "boot code before the protective MBR", 440: "protective MBR", 511: "protective MBR", 512: "primary header",
		1024: "primary partition array", 34 * 512: "unused space", 40 * 512: "partition 1 (ESP)",
		2*mib - 1: "backup header", 2*mib - 513: "backup partition array", 2 * mib: "beyond the disk", -1: "beyond the disk",
	} {
		if got := table.Describe(offset); got != want {
			t.Errorf("Describe(%d) = %q; want %q", offset, got, want)
		}
	}
}
