package verity

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// memory is a device in memory that grows as it is written.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(m.data) {
		return 0, fmt.Errorf("write of %d bytes at %d: behind the end", len(p), off)
	}
	return copy(m.data[off:], p), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}

var testParams = Params{
	UUID: [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10},
	Salt: []byte("0123456789abcdef0123456789abcdef"),
}

// pattern returns blocks data blocks, each unlike the others.
func pattern(blocks int) []byte {
	data := make([]byte, blocks*BlockSize)
	for i := 0; i < len(data); i += 8 {
		binary.LittleEndian.PutUint64(data[i:], uint64(i)*0x9e3779b97f4a7c15+1)
	}
	return data
}

func build(t testing.TB, data []byte, p Params) (*memory, [DigestSize]byte) {
	t.Helper()
	// The device starts out dirty: everything in it must be written.
	hash := &memory{bytes.Repeat([]byte{0xa5}, int(HashSize(int64(len(data)))))}
	root, err := Build(bytes.NewReader(data), int64(len(data)), p, hash)
	if err != nil {
		t.Fatalf("Build(%d bytes): %v", len(data), err)
	}
	return hash, root
}

func TestSuperblockSize(t *testing.T) {
	if got := binary.Size(Superblock{}); got != superblockSize {
		t.Errorf("binary.Size(Superblock) = %d; want %d", got, superblockSize)
	}
}

func TestHashSize(t *testing.T) {
	for _, c := range []struct{ data, blocks int64 }{
		{1, 1}, {4096, 1}, {4097, 2}, {8192, 2}, {128 * 4096, 2}, {129 * 4096, 4},
		{128 * 128 * 4096, 1 + 1 + 128}, {(128*128 + 1) * 4096, 1 + 1 + 2 + 129},
		{64 << 20, 1 + 1 + 128}, {1 << 30, 1 + 1 + 16 + 2048},
	} {
		if got := HashSize(c.data); got != c.blocks*BlockSize {
			t.Errorf("HashSize(%d) = %d blocks; want %d", c.data, got/BlockSize, c.blocks)
		}
	}
}

func TestTable(t *testing.T) {
	root := [DigestSize]byte{0: 0xab, 31: 0xcd}
	rootHex := hex.EncodeToString(root[:])
	for _, c := range []struct {
		salt []byte
		opts []string
		want string
	}{
		{nil, nil, "1 /dev/vda3 /dev/vda4 4096 4096 300 1 sha256 " + rootHex + " -"},
		{[]byte{1, 2}, []string{"panic_on_corruption"}, "1 /dev/vda3 /dev/vda4 4096 4096 300 1 sha256 " + rootHex + " 0102 1 panic_on_corruption"},
		{nil, []string{"a", "b"}, "1 /dev/vda3 /dev/vda4 4096 4096 300 1 sha256 " + rootHex + " - 2 a b"},
	} {
		s, err := newSuperblock(300, Params{Salt: c.salt})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, s.Table("/dev/vda3", "/dev/vda4", root, c.opts...)); diff != "" {
			t.Errorf("Table(salt %x, %q) (-want +got):\n%s", c.salt, c.opts, diff)
		}
		if s.Sectors() != 2400 || s.DataSize() != 300*4096 {
			t.Errorf("Sectors, DataSize = %d, %d; want 2400, %d", s.Sectors(), s.DataSize(), 300*4096)
		}
	}
}

func TestReadSuperblockRefuses(t *testing.T) {
	hash, _ := build(t, pattern(3), testParams)
	for _, c := range []struct {
		name   string
		offset int
		value  byte
		want   string
	}{
		{"signature", 0, 'V', "signature"},
		{"version", 8, 2, "version 2"},
		{"hash type", 12, 0, "hash type 0"},
		{"algorithm", 32, 'S', "algorithm"},
		{"algorithm padding", 60, 1, "algorithm"},
		{"data block size", 65, 4, "blocks of 1024"},
		{"hash block size", 69, 2, "and 512 bytes"},
		{"no data", 72, 0, "no data blocks"},
		{"too much data", 79, 0x80, "more than a device"},
		{"salt size", 81, 2, "salt of"},
		{"reserved", 82, 1, "reserved"},
		{"salt shorter than its bytes", 80, 31, "reserved"},
		{"end", 511, 1, "reserved"},
	} {
		raw := bytes.Clone(hash.data)
		raw[c.offset] = c.value
		if _, err := ReadSuperblock(bytes.NewReader(raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ReadSuperblock(%s) = %v; want an error with %q", c.name, err, c.want)
		}
	}
	if _, err := ReadSuperblock(bytes.NewReader(hash.data[:511])); err == nil {
		t.Error("ReadSuperblock(511 bytes) gave no error")
	}
}

func TestBuildRefuses(t *testing.T) {
	three := pattern(3)
	for _, c := range []struct {
		name   string
		data   []byte
		size   int64
		params Params
		want   string
	}{
		{"nothing", nil, 0, Params{}, "no data blocks"},
		{"odd size", three, 4097, Params{}, "not a multiple"},
		{"negative size", three, -4096, Params{}, "not a multiple"},
		{"long salt", three, 4096, Params{Salt: make([]byte, 257)}, "salt of 257"},
		{"very long salt", three, 4096, Params{Salt: make([]byte, 1<<16+1)}, "salt of"},
		{"short data", three, 5 * 4096, Params{}, "read data at 0: unexpected EOF"},
		{"small hash device", three, 3 * 4096, Params{}, "write hash block 1"},
	} {
		hash := &memory{make([]byte, 4096)}
		if _, err := Build(bytes.NewReader(c.data), c.size, c.params, hash); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Build(%s) = %v; want an error with %q", c.name, err, c.want)
		}
	}
}

// TestWriter feeds data in pieces of awkward sizes: the result must not depend on them.
func TestWriter(t *testing.T) {
	data := pattern(300)
	want, wantRoot := build(t, data, testParams)
	for _, piece := range []int{1000, 4096, 65537, groupSize, len(data)} {
		hash := &memory{make([]byte, len(want.data))}
		w, err := NewWriter(int64(len(data)), testParams, hash)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, piece)); err != nil {
			t.Fatalf("Write in pieces of %d: %v", piece, err)
		}
		if _, err := w.Write([]byte{0}); err == nil {
			t.Error("Write behind the end gave no error")
		}
		root, err := w.Finish()
		if err != nil || root != wantRoot || !bytes.Equal(hash.data, want.data) {
			t.Errorf("Writer in pieces of %d: root %x, %v, same device: %v; want %x", piece, root, err, bytes.Equal(hash.data, want.data), wantRoot)
		}
	}
}

func TestOneBlockHasNoTree(t *testing.T) {
	data := pattern(1)
	hash, root := build(t, data, Params{})
	want := newDigester(nil).append(nil, data)
	if !bytes.Equal(root[:], want) || len(hash.data) != BlockSize {
		t.Errorf("Build(one block) = %x with %d bytes; want %x with %d", root, len(hash.data), want, BlockSize)
	}
}

// TestWriterReportsTheDevice wants the error of a hash device before all data is hashed.
func TestWriterReportsTheDevice(t *testing.T) {
	const size = 16 << 30
	w, err := NewWriter(size, Params{}, &memory{make([]byte, 4096)})
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, groupSize)
	for range 1000 {
		if _, err = w.Write(data); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "write hash block") {
		t.Errorf("Write = %v; want the device's error", err)
	}
	if _, err := w.Finish(); err == nil || !strings.Contains(err.Error(), "write hash block") {
		t.Errorf("Finish = %v; want the device's error", err)
	}
	short, err := NewWriter(2*BlockSize, Params{}, &memory{make([]byte, 2*BlockSize)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := short.Finish(); err == nil || !strings.Contains(err.Error(), "ends 8192 bytes early") {
		t.Errorf("Finish without data = %v", err)
	}
}
