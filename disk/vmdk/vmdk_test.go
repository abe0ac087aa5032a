package vmdk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/disk/raw"
)

func TestRecords(t *testing.T) {
	for _, test := range []struct {
		record any
		want   int
	}{{Header{}, sectorSize}, {marker{}, sectorSize}, {grainMarker{}, 12}} {
		if got := binary.Size(test.record); got != test.want {
			t.Errorf("%T has %d bytes; want %d", test.record, got, test.want)
		}
	}
}

func write(t testing.TB, disk []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, &raw.Disk{ReaderAt: bytes.NewReader(disk), Size: int64(len(disk))}, [16]byte([]byte("0123456789abcdef"))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The layout of a disk of two grain tables, of which the first has no grain.
func TestGolden(t *testing.T) {
	disk := make([]byte, entriesPerTable*GrainSize+GrainSize+512)
	disk[len(disk)-1] = 1 // in the second table's second grain
	b := write(t, disk)
	const head = "4b444d56 03000000 01000300"
	const middle = "8100010000000000 8000000000000000 0100000000000000 1400000000000000 00020000 0000000000000000"
	const tail = "8000000000000000 00 0a200d0a 0100"
	end := len(b) / sectorSize
	for _, piece := range []struct {
		name   string
		sector int
		want   string
	}{
		{"header", 0, head + middle + "ffffffffffffffff" + tail},
		{"grain marker", 128, "8000010000000000"},
		{"grain table marker", 129, "0400000000000000 00000000 01000000"},
		{"grain table", 130, "00000000 80000000 00000000"},
		{"grain directory marker", 134, "0100000000000000 00000000 02000000"},
		{"grain directory", 135, "00000000 82000000 00000000"},
		{"footer marker", 136, "0100000000000000 00000000 03000000"},
		{"footer", 137, head + middle + "8700000000000000" + tail},
		{"end of stream", 138, strings.Repeat("00", 512)},
	} {
		want := strings.ReplaceAll(piece.want, " ", "")
		if got := hex.EncodeToString(b[piece.sector*sectorSize:][:len(want)/2]); got != want {
			t.Errorf("%s\n%s; want\n%s", piece.name, got, want)
		}
	}
	if end != 139 {
		t.Errorf("a file of %d sectors; want 139", end)
	}
}

func TestDescriptor(t *testing.T) {
	const want = `# Disk DescriptorFile
version=1
CID=63646566
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW 6291456 SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "391"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.longContentID = "30313233343536373839616263646566"
ddb.virtualHWVersion = "4"
`
	if got := descriptor(3<<30, [16]byte([]byte("0123456789abcdef"))); got != want {
		t.Errorf("descriptor\n%s; want\n%s", got, want)
	}
	if got := len(descriptor(2<<40, [16]byte{})); got > descriptorSectors*sectorSize {
		t.Errorf("a descriptor of %d bytes does not fit", got)
	}
	for id, want := range map[[16]byte]uint32{{}: 1, {15: 5}: 5, {12: 255, 13: 255, 14: 255, 15: 255}: 1<<32 - 3} {
		if got := contentID(id); got != want {
			t.Errorf("contentID(%x) = %x; want %x", id, got, want)
		}
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	good := write(t, make([]byte, 1<<20))
	if _, _, err := ReadHeader(bytes.NewReader(good), int64(len(good))); err != nil {
		t.Fatal(err)
	}
	footer := len(good) - 2*sectorSize
	for name, change := range map[string]func(b []byte) []byte{
		"empty":            func([]byte) []byte { return nil },
		"cut":              func(b []byte) []byte { return b[:len(b)-512] },
		"not whole":        func(b []byte) []byte { return b[:len(b)-1] },
		"magic":            func(b []byte) []byte { b[0]++; return b },
		"version":          func(b []byte) []byte { b[4] = 9; return b },
		"not compressed":   func(b []byte) []byte { b[10] = 0; return b },
		"grain size":       func(b []byte) []byte { b[20] = 1; return b },
		"descriptor place": func(b []byte) []byte { b[30] = 1; return b },
		"descriptor size":  func(b []byte) []byte { b[40] = 1; return b },
		"as text":          func(b []byte) []byte { b[75] = '\n'; return b },
		"footer's marker":  func(b []byte) []byte { b[footer-512+12] = 2; return b },
		"footer's size":    func(b []byte) []byte { b[footer+12]++; return b },
		"directory":        func(b []byte) []byte { b[footer+58] = 1; return b },
		"end of stream":    func(b []byte) []byte { b[len(b)-1] = 1; return b },
	} {
		b := change(bytes.Clone(good))
		if _, _, err := ReadHeader(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}

func TestTooLarge(t *testing.T) {
	if err := Write(t.Context(), &bytes.Buffer{}, &raw.Disk{Size: maxSectors*sectorSize + sectorSize}, [16]byte{}); err == nil {
		t.Error("a disk of more than 2 TiB was written")
	}
}
