package release

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
)

// memory is a disk in memory.
type memory []byte

func (m memory) ReadAt(p []byte, at int64) (int, error)  { return bytes.NewReader(m).ReadAt(p, at) }
func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

const sector = 512

// usr is a file system with an image.json.
func usr(t *testing.T, info string) []byte {
	t.Helper()
	dir := func(name string, child *erofs.Inode) *erofs.Inode {
		return &erofs.Inode{Mode: 0o040755, Children: map[string]*erofs.Inode{name: child}}
	}
	file := &erofs.Inode{Mode: 0o100644, Size: int64(len(info)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(info)), nil
	}}
	plan, err := erofs.Plan(dir("share", dir("ketch", dir("image.json", file))), erofs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := plan.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// newDisk is a disk with small partitions where the plan has them, and a version
// in slot B.
func newDisk(t *testing.T, info string) (memory, *gpt.Table, verity.RootHash) {
	t.Helper()
	const each = 64 << 10
	disk, table := make(memory, (layout.NumState+1)*each), &gpt.Table{SectorSize: sector}
	for i, row := range layout.AMD64.Partitions() {
		first := uint64(i+1) * each / sector
		table.Partitions = append(table.Partitions, gpt.Partition{
			Type: gpt.MustParseGUID(row.Type), ID: gpt.GUID{15: byte(i + 1)}, Name: row.Label, First: first, Last: first + each/sector - 1,
		})
	}
	at := func(number int) *io.OffsetWriter {
		return io.NewOffsetWriter(disk, table.Partitions[number-1].Offset(sector))
	}
	data := usr(t, info)
	root, err := verity.Build(bytes.NewReader(data), int64(len(data)), verity.Params{Salt: make([]byte, 32)}, at(layout.NumVerityB))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := at(layout.NumUsrB).Write(data); err != nil {
		t.Fatal(err)
	}
	Place(table, layout.Slots()[1], "2.0", root)
	return disk, table, root
}

func TestReadSlot(t *testing.T) {
	const info = `{"name": "Test", "version": "2.0"}`
	disk, table, root := newDisk(t, info)
	s, err := ReadSlot(disk, table, root)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "B" || s.Label != "ketch_2.0" || s.Root != root || s.UsrNumber != layout.NumUsrB || s.VerityNumber != layout.NumVerityB {
		t.Errorf("ReadSlot = %+v; want slot B with version 2.0", s)
	}
	if err := s.Verify(); err != nil {
		t.Errorf("Verify = %v", err)
	}
	got, raw, err := s.Info()
	if err != nil || got.Version != "2.0" || string(raw) != info {
		t.Errorf("Info = %+v, %q, %v; want version 2.0", got, raw, err)
	}
	if _, err := ReadSlot(disk, table, verity.RootHash{1}); !errors.Is(err, ErrNoSlot) {
		t.Errorf("ReadSlot of a version that is not there = %v; want ErrNoSlot", err)
	}
}

// A pair of partitions that crosses the slots holds a version, but is no slot.
func TestReadSlotAcross(t *testing.T) {
	disk, table, root := newDisk(t, "{}")
	a, b := &table.Partitions[layout.NumUsrA-1], &table.Partitions[layout.NumUsrB-1]
	a.First, a.Last, b.First, b.Last = b.First, b.Last, a.First, a.Last
	a.ID, b.ID = b.ID, a.ID
	if s, err := ReadSlot(disk, table, root); err != nil || s.Name != "" || s.Verify() != nil {
		t.Errorf("ReadSlot = %+v, %v; want a version without the name of a slot", s, err)
	}
}

func TestReadSlotDamaged(t *testing.T) {
	for name, test := range map[string]struct {
		number int
		at     int64
		want   string // of ReadSlot; empty: it is Verify that finds it
	}{
		"superblock":    {layout.NumVerityB, 0, "partition 6 (ketch_2.0_verity)"},
		"claimed size":  {layout.NumVerityB, 72 + 2, "more than the partition holds"}, // data_blocks, a u64
		"block of usr":  {layout.NumUsrB, 1024, ""},
		"block of hash": {layout.NumVerityB, layout.BlockSize, ""},
	} {
		disk, table, root := newDisk(t, "{}")
		disk[table.Partitions[test.number-1].Offset(sector)+test.at] ^= 1
		s, err := ReadSlot(disk, table, root)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: ReadSlot = %v; want %q", name, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: ReadSlot = %v; want Verify to find it", name, err)
			continue
		}
		var corrupt *verity.CorruptError
		if err := s.Verify(); !errors.As(err, &corrupt) {
			t.Errorf("%s: Verify = %v; want a corrupt block", name, err)
		}
	}
}

// What a slot says of itself may be anything: it is an error that tells of usr.
func TestInfoOfBadSlot(t *testing.T) {
	disk, table, root := newDisk(t, "[]")
	s, err := ReadSlot(disk, table, root)
	if err != nil {
		t.Fatal(err)
	}
	if info, _, err := s.Info(); err == nil || !strings.HasPrefix(err.Error(), "usr: decode image.json") {
		t.Errorf("Info = %+v, %v; want an error", info, err)
	}
	s.UsrSize = 0
	if usr, err := s.FS(); err == nil {
		t.Errorf("FS of nothing = %v; want an error", usr)
	}
	disk, table, root = newDisk(t, "{}")
	copy(disk[table.Partitions[layout.NumUsrB-1].Offset(sector):], bytes.ReplaceAll(usr(t, "{}"), []byte("image.json"), []byte("other.json")))
	if s, err = ReadSlot(disk, table, root); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Info(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info without image.json = %v; want fs.ErrNotExist", err)
	}
}

// FuzzDecodeInfo: whatever image.json says, what is read from it can be written.
func FuzzDecodeInfo(f *testing.F) {
	f.Add([]byte(`{"name":"Ketch","version":"0.1.0","released":"2026-11-22T00:00:00Z","kernel":{},"images":[],"esp":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := DecodeInfo(data)
		if err != nil {
			return
		}
		text, err := info.Encode()
		if err != nil {
			return // a year that RFC 3339 does not have
		}
		if _, err := DecodeInfo(text); err != nil {
			t.Errorf("DecodeInfo of what Encode gave: %v", err)
		}
	})
}
