package diskfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/convert"
	"github.com/ketch-os/ketch/builder/limit"
)

// writeRaw writes a disk with some data in it.
func writeRaw(t *testing.T) (path string, content []byte) {
	t.Helper()
	content = make([]byte, 4<<20)
	copy(content[1<<20:], "a ketch has two masts")
	copy(content[len(content)-512:], "the end")
	path = filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// TestRaw: whatever convert writes, Raw reads as the disk that it was made of, and
// leaves no file behind.
func TestRaw(t *testing.T) {
	raw, want := writeRaw(t)
	dir, temporary := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	for _, format := range convert.Formats() {
		t.Run(format.Name, func(t *testing.T) {
			path := filepath.Join(dir, format.Name)
			c := convert.Conversion{Input: raw, Output: path, Format: format, Progress: func(int64, int64) {}}
			if err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			f, err := Raw(path, limit.Default)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(bytes.TrimRight(got, "\x00"), bytes.TrimRight(want, "\x00")) || len(got) < len(want) {
				t.Errorf("Raw(%s): %d bytes, %v; want the %d of the disk", format.Name, len(got), err, len(want))
			}
			left, err := os.ReadDir(temporary)
			if err != nil || len(left) > 0 {
				t.Errorf("files are left: %v, %v", left, err)
			}
		})
	}
}

// TestRawLimit: nothing is unpacked beyond the limit, and what just fits is.
func TestRawLimit(t *testing.T) {
	raw, _ := writeRaw(t)
	dir, temporary := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	for _, format := range convert.Formats() {
		if format.Name == "raw" {
			continue // nothing is unpacked of it
		}
		path := filepath.Join(dir, format.Name)
		if err := (convert.Conversion{Input: raw, Output: path, Format: format}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		f, err := Raw(path, limit.Default)
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Seek(0, io.SeekEnd)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		// An archive in between is a little larger.
		if f, err = Raw(path, size+64<<10); err != nil {
			t.Errorf("Raw(%s) with a limit that fits = %v", format.Name, err)
		} else {
			f.Close()
		}
		f, err = Raw(path, size-1)
		if large := (*limit.Error)(nil); !errors.As(err, &large) {
			t.Errorf("Raw(%s) with a limit of a byte less = %v; want that it is too large", format.Name, err)
			f.Close()
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestRawBroken(t *testing.T) {
	raw, _ := writeRaw(t)
	path := filepath.Join(t.TempDir(), "disk.raw.zst")
	format, err := convert.ForFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := convert.Conversion{Input: raw, Output: path, Format: format, Progress: func(int64, int64) {}}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-5], 0o644); err != nil {
		t.Fatal(err)
	}
	if f, err := Raw(path, limit.Default); err == nil {
		f.Close()
		t.Error("Raw of a file that is cut off: want an error")
	}
	if _, err := Raw(filepath.Join(t.TempDir(), "none"), limit.Default); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Raw of nothing = %v; want that it does not exist", err)
	}
}

// FuzzRaw opens what may be anything: nothing but errors comes of it, and no disk of
// another size than it says.
func FuzzRaw(f *testing.F) {
	for _, magic := range []string{"", "\x1f\x8b\x08", "\x28\xb5\x2f\xfd", "QFI\xfb", "KDMV", "conectix"} {
		f.Add([]byte(magic + strings.Repeat("\x00", 1024)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if d.Broken != nil {
			return
		}
		if n, err := d.Disk.ReadAt(make([]byte, 1), max(d.Size, 0)); n > 0 && err == nil {
			t.Errorf("a disk of %d bytes (%s) has one more", d.Size, d.Format)
		}
	})
}
