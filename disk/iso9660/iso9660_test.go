package iso9660

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// contents are the files of every test's volume.
var contents = map[string]string{
	"user-data":                       "ketch: 1\n",
	"meta-data":                       "",
	"openstack/latest/user_data":      strings.Repeat("x", 5000),
	"openstack/latest/meta_data.json": "{}",
	"a name.with.dots and CAPITALS, below Joliet's limit": "long",
}

// volume makes a volume with genisoimage.
func volume(t testing.TB, options ...string) []byte {
	t.Helper()
	tool := testkit.Tool(t, "genisoimage")
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "volume.iso")
	for name, text := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool, append(append([]string{"-quiet", "-V", "cidata", "-o", out}, options...), dir)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOracle: what another tool has written is read, in each of its forms.
func TestOracle(t *testing.T) {
	var names []string
	for name := range contents {
		names = append(names, name)
	}
	for _, options := range [][]string{{"-joliet"}, {"-rock"}, {"-joliet", "-rock"}} {
		data := volume(t, options...)
		v, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%v: %v", options, err)
		}
		if v.Label != "cidata" {
			t.Errorf("%v: label %q; want cidata", options, v.Label)
		}
		if err := fstest.TestFS(v, names...); err != nil {
			t.Errorf("%v: %v", options, err)
		}
		for name, want := range contents {
			if got, err := fs.ReadFile(v, name); err != nil || string(got) != want {
				t.Errorf("%v: %s = %q, %v; want %q", options, name, got, err, want)
			}
		}
	}
}

// TestPlain: without Joliet and Rock Ridge names are short, and in lower case.
func TestPlain(t *testing.T) {
	data := volume(t, "-input-charset", "utf-8")
	v, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(v, "openstac/latest/user_dat"); err != nil || len(got) != 5000 {
		t.Errorf("user_dat has %d bytes, %v; want 5000", len(got), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := volume(t, "-joliet")
	for name, change := range map[string]func(b []byte) []byte{
		"nothing":                 func(b []byte) []byte { return nil },
		"zeros":                   func(b []byte) []byte { return make([]byte, 1<<20) },
		"cut off":                 func(b []byte) []byte { return b[:sectorSize*20] },
		"no end of descriptors":   func(b []byte) []byte { copyDescriptor(b, 17, 18, 19, 20); return b[:sectorSize*19] },
		"blocks of no size":       func(b []byte) []byte { put16(b[17*sectorSize+128:], 0); put16(b[16*sectorSize+128:], 0); return b },
		"a root outside":          func(b []byte) []byte { put32(b[17*sectorSize+156+2:], 1<<31); return b },
		"a root of four gigabyte": func(b []byte) []byte { put32(b[17*sectorSize+156+10:], 1<<32-1); return b },
		"a directory in itself":   loop,
	} {
		data := change(slices.Clone(good))
		if _, err := Open(bytes.NewReader(data), int64(len(data))); err == nil {
			t.Errorf("%s: Open takes it", name)
		}
	}
	if _, err := Label(bytes.NewReader(make([]byte, 1<<20))); !errors.Is(err, ErrFormat) {
		t.Errorf("Label of zeros = %v; want ErrFormat", err)
	}
}

func put16(b []byte, n uint16) { binary.LittleEndian.PutUint16(b, n) }
func put32(b []byte, n uint32) { binary.LittleEndian.PutUint32(b, n) }

func copyDescriptor(b []byte, from int, to ...int) {
	for _, sector := range to {
		copy(b[sector*sectorSize:(sector+1)*sectorSize], b[from*sectorSize:])
	}
}

// loop makes a directory that holds itself: every record of the root leads to the root.
func loop(b []byte) []byte {
	root := binary.LittleEndian.Uint32(b[17*sectorSize+156+2:])
	dir := b[root*sectorSize : (root+1)*sectorSize]
	for at := 0; at < len(dir) && dir[at] != 0; at += int(dir[at]) {
		put32(dir[at+2:], root)
		put32(dir[at+10:], sectorSize)
		dir[at+25] = flagDir
	}
	return b
}

// TestRecordSizes: the fields are where ECMA-119 has them.
func TestRecordSizes(t *testing.T) {
	if diff := cmp.Diff([2]int{190, recordSize}, [2]int{binary.Size(descriptor{}), binary.Size(record{})}); diff != "" {
		t.Errorf("sizes of descriptor and record (-want +got):\n%s", diff)
	}
}

func FuzzOpen(f *testing.F) {
	if path, err := exec.LookPath("genisoimage"); err == nil && path != "" {
		f.Add(volume(f, "-joliet", "-rock"))
		f.Add(volume(f, "-rock"))
	}
	f.Add([]byte("CD001"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		err = fs.WalkDir(v, ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				_, err = fs.ReadFile(v, name)
			}
			return err
		})
		if err != nil {
			t.Errorf("what was opened cannot be read: %v", err)
		}
	})
}
