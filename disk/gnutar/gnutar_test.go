package gnutar

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestRecords(t *testing.T) {
	for _, record := range []any{header{}, extension{}} {
		if got := binary.Size(record); got != BlockSize {
			t.Errorf("%T has %d bytes; want %d", record, got, BlockSize)
		}
	}
}

// sparseFile has n regions of 4 KiB, 1 MiB apart, and ends in a hole or in data.
func sparseFile(n int, hole bool) *File {
	f := &File{Name: "disk.raw", Mode: 0o644, Time: time.Unix(1_700_000_000, 0).UTC(), Size: 1 << 20}
	for i := range n {
		f.Regions = append(f.Regions, Region{int64(i)<<20 + 8192, 4096})
		f.Size = f.Regions[i].end()
	}
	if hole {
		f.Size += 3 << 20
	}
	return f
}

// archive is the whole archive of a file whose data is all ones.
func archive(t testing.TB, f *File) []byte {
	t.Helper()
	b, err := f.Header()
	if err != nil {
		t.Fatal(err)
	}
	end, err := f.Trailer()
	if err != nil {
		t.Fatal(err)
	}
	return append(append(b, bytes.Repeat([]byte{1}, int(f.Stored()))...), end...)
}

// The archive is the very one that GNU tar makes of the same file, for numbers of
// regions around what fits into the header and into one extension.
func TestSameAsGNUTar(t *testing.T) {
	tool := testkit.Tool(t, "tar")
	for _, n := range []int{0, 1, 3, 4, 5, 24, 25, 26, 46, 47} {
		for _, hole := range []bool{false, true} {
			file := sparseFile(n, hole)
			got := archive(t, file)
			dir := t.TempDir()
			writeSparse(t, filepath.Join(dir, "disk.raw"), file)
			want, err := exec.Command(tool, "--format=oldgnu", "-S", "--owner=:0", "--group=:0", "--numeric-owner", "-c", "-C", dir, "disk.raw").Output()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d regions, hole at the end %v: %d bytes differ from tar's %d", n, hole, len(got), len(want))
			}
		}
	}
}

func writeSparse(t *testing.T, path string, file *File) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range file.Regions {
		if _, err := f.WriteAt(bytes.Repeat([]byte{1}, int(r.Size)), r.Offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(file.Size); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, file.Time, file.Time); err != nil {
		t.Fatal(err)
	}
}

// Sizes of 8 GiB and more do not fit into octal digits. Go's reader is the judge.
func TestLarge(t *testing.T) {
	file := &File{Name: "disk.raw", Mode: 0o600, Time: time.Unix(1<<33-1, 0), Size: 64 << 30, Regions: []Region{{0, 512}, {1<<33 - 512, 512}, {1 << 33, 512}, {63 << 30, 1024}}}
	h, err := tar.NewReader(bytes.NewReader(archive(t, file))).Next()
	if err != nil || h.Size != file.Size || h.Name != file.Name || h.Mode != 0o600 || !h.ModTime.Equal(file.Time) {
		t.Errorf("archive/tar: %+v, %v", h, err)
	}
}

// A file without holes is an ordinary member.
func TestWhole(t *testing.T) {
	file := &File{Name: "image.vhd", Time: time.Unix(1, 0), Size: 1000, Regions: []Region{{0, 1000}}}
	r := tar.NewReader(bytes.NewReader(archive(t, file)))
	h, err := r.Next()
	if err != nil || h.Typeflag != tar.TypeReg || h.Size != 1000 {
		t.Fatalf("archive/tar: %+v, %v", h, err)
	}
	if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{1}, 1000)) {
		t.Errorf("archive/tar: %d bytes, %v", len(b), err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("archive/tar: behind the member: %v; want the end", err)
	}
}

func TestReadFile(t *testing.T) {
	for _, want := range []*File{
		sparseFile(0, true), sparseFile(4, false), sparseFile(47, true),
		{Name: "x", Time: time.Unix(0, 0).UTC(), Size: 1 << 40, Regions: []Region{{1 << 39, 512}}},
		{Name: "whole", Time: time.Unix(0, 0).UTC(), Size: 512, Regions: []Region{{0, 512}}},
	} {
		b, err := want.Header()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(bytes.NewReader(b))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("ReadFile(Header()): %v\n%s", err, diff)
		}
		for at := range b[:BlockSize] {
			changed := bytes.Clone(b)
			changed[at] ^= 4
			if _, err := ReadFile(bytes.NewReader(changed)); err == nil {
				t.Errorf("byte %d of the header changed: read without an error", at)
			}
		}
		if _, err := ReadFile(bytes.NewReader(b[:len(b)-1])); err == nil {
			t.Error("a cut header: read without an error")
		}
	}
}

func TestHeaderRefuses(t *testing.T) {
	for name, file := range map[string]*File{
		"no name":    {Size: 1},
		"long name":  {Name: string(bytes.Repeat([]byte{'x'}, 101))},
		"order":      {Name: "x", Size: 4096, Regions: []Region{{1024, 512}, {512, 512}}},
		"overlap":    {Name: "x", Size: 4096, Regions: []Region{{0, 1024}, {512, 512}}},
		"outside":    {Name: "x", Size: 4096, Regions: []Region{{4096, 512}}},
		"not blocks": {Name: "x", Size: 4096, Regions: []Region{{0, 100}, {512, 512}}},
		"early":      {Name: "x", Time: time.Unix(-1, 0)},
	} {
		if _, err := file.Header(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever the bytes, reading them ends in a file that could be written, or in an error.
func FuzzReadFile(f *testing.F) {
	for _, file := range []*File{sparseFile(3, true), sparseFile(30, false), {Name: "x", Time: time.Unix(0, 0), Size: 1 << 40}} {
		b, err := file.Header()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := ReadFile(bytes.NewReader(b))
		if err != nil {
			return
		}
		if _, err := file.Header(); err != nil {
			t.Errorf("%+v was read, and cannot be written: %v", file, err)
		}
	})
}
