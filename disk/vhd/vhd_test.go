package vhd

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/disk/raw"
)

type writer func(context.Context, io.WriterAt, *raw.Disk, Options) error

var options = Options{ID: [16]byte([]byte("0123456789abcdef")), Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}

// write writes a disk and returns the file's bytes.
func write(t testing.TB, disk []byte, write writer) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.vhd"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := write(t.Context(), f, &raw.Disk{ReaderAt: bytes.NewReader(disk), Size: int64(len(disk))}, options); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecords(t *testing.T) {
	if got := binary.Size(Footer{}); got != FooterSize {
		t.Errorf("Footer has %d bytes; want %d", got, FooterSize)
	}
	if got := binary.Size(blockMap{}); got != sectorSize {
		t.Errorf("blockMap has %d bytes; want %d", got, sectorSize)
	}
	if got := binary.Size(Header{}); got != headerSize {
		t.Errorf("Header has %d bytes; want %d", got, headerSize)
	}
}

// hexOf compares bytes with hexadecimal digits, blanks ignored.
func hexOf(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if want = strings.ReplaceAll(want, " ", ""); hex.EncodeToString(got) != want {
		t.Errorf("%s\n%x; want\n%s", what, got, want)
	}
}

const goldenEnd = "30e9f225 74617000 00010003 00000000 0000000000300200 0000000000300200 005a 04 11"

func TestFixedGolden(t *testing.T) {
	disk := make([]byte, 3<<20+512)
	disk[5] = 1
	b := write(t, disk, WriteFixed)
	if len(b) != len(disk)+FooterSize || !bytes.Equal(b[:len(disk)], disk) {
		t.Errorf("a file of %d bytes, or another disk", len(b))
	}
	hexOf(t, "footer", b[len(disk):len(disk)+85], "636f6e6563746978 00000002 00010000 ffffffffffffffff "+goldenEnd+" 00000002 ffffebf7 30313233343536373839616263646566 00")
}

// A disk of three blocks, of which the second is not in the file and the last one is short.
func TestDynamicGolden(t *testing.T) {
	disk := make([]byte, 3<<20+512)
	disk[5], disk[len(disk)-1] = 1, 2
	b := write(t, disk, WriteDynamic)
	hexOf(t, "footer's copy", b[:85], "636f6e6563746978 00000002 00010000 0000000000000200 "+goldenEnd+" 00000003 fffff3ec 30313233343536373839616263646566 00")
	hexOf(t, "header", b[512:576], "6378737061727365 ffffffffffffffff 0000000000000600 00010000 00000002 00200000 fffff475"+strings.Repeat("00", 24))
	hexOf(t, "table", b[1536:1548], "00000007 0000100f ffffffff")
	hexOf(t, "block map's header", b[2048:2076], "746462 61746d6170 0000000000000a00 00000001 00010002 ffffff3f")
	hexOf(t, "block map", b[2560:2562], "c000")
	const first, second = 4096, 4096 + BlockSize + 4096
	if !bytes.Equal(b[:512], b[len(b)-512:]) || len(b) != second+BlockSize+512 {
		t.Errorf("a file of %d bytes, or its footer is not the copy", len(b))
	}
	for _, at := range []int{first, second} {
		if !bytes.Equal(b[at-512:at], bytes.Repeat([]byte{0xff}, 512)) {
			t.Errorf("the bitmap before %d has a sector that is not there", at)
		}
	}
	if b[first+5] != 1 || b[second+1<<20+511] != 2 {
		t.Error("the data is elsewhere")
	}
}

// The geometry stands for at most the disk, and for all of it but less than one
// cylinder, up to where geometries end (127 GiB). Known values are from the
// specification's algorithm, worked by hand.
func TestGeometry(t *testing.T) {
	for sectors, want := range map[int64]Geometry{
		4 * 17:          {1, 4, 17},
		131072:          {963, 8, 17},     // 64 MiB
		2 << 20:         {2080, 16, 63},   // 1 GiB
		6 << 20:         {6241, 16, 63},   // 3 GiB
		128 << 20:       {32896, 16, 255}, // 64 GiB
		65535 * 16 * 63: {16191, 16, 255},
		1 << 32:         {65535, 16, 255},
	} {
		if got := GeometryOf(sectors * sectorSize); got != want {
			t.Errorf("GeometryOf(%d sectors) = %v; want %v", sectors, got, want)
		}
	}
	for sectors := int64(4 * 17); sectors < 65535*16*255; sectors = sectors*17/16 + 3 {
		g := GeometryOf(sectors * sectorSize)
		cylinder := int64(g.Heads) * int64(g.Sectors)
		if held := int64(g.Cylinders) * cylinder; held > sectors || sectors-held >= cylinder || g.Heads > 16 {
			t.Errorf("GeometryOf(%d sectors) = %v, which is %d", sectors, g, held)
		}
	}
}

func TestTimeStamp(t *testing.T) {
	for in, want := range map[time.Time]uint32{
		{}: 0, time.Unix(0, 0): 0, time.Unix(epoch, 0): 0, time.Unix(epoch+7, 0): 7, time.Unix(1<<40, 0): 1<<32 - 1,
	} {
		if got := timeStamp(in); got != want {
			t.Errorf("timeStamp(%v) = %d; want %d", in, got, want)
		}
	}
}

// Any byte of the footer, of its copy or of the header that changes is an error.
func TestOpenChangedBytes(t *testing.T) {
	good := write(t, make([]byte, 1<<20), WriteDynamic)
	for at := range good {
		if at >= tableOffset && at < len(good)-FooterSize {
			continue
		}
		b := bytes.Clone(good)
		b[at] ^= 0x40
		if _, err := Open(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("byte %d changed: opened without an error", at)
		}
	}
}

func TestReadFooterRefuses(t *testing.T) {
	good := newFooter(1<<20, Fixed, options)
	for name, change := range map[string]func(*Footer){
		"version":      func(f *Footer) { f.Version++ },
		"type 4":       func(f *Footer) { f.DiskType = 4 },
		"size":         func(f *Footer) { f.CurrentSize += 512 },
		"huge":         func(f *Footer) { f.CurrentSize = 1 << 60 },
		"half sectors": func(f *Footer) { f.CurrentSize++ },
	} {
		f := good
		change(&f)
		b := append(make([]byte, 1<<20), f.encode()...)
		if _, err := ReadFooter(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
	if _, err := ReadFooter(bytes.NewReader(nil), 0); err == nil {
		t.Error("an empty file: read without an error")
	}
}

func TestTooLarge(t *testing.T) {
	for _, write := range []writer{WriteFixed, WriteDynamic} {
		if err := write(t.Context(), nil, &raw.Disk{Size: maxDisk + 512}, Options{}); err == nil {
			t.Error("a disk of more than 2040 GiB was written")
		}
	}
}
