package fat

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// Pristine tells whether each byte of the volume is what Write makes of its
// names, contents, label and serial number: it writes the volume again and
// compares. So every change is found, in slack and free space too, but for one
// that makes another valid volume: of a file's content, or of its name. The
// error names the place of the first difference.
func (f *FS) Pristine() error {
	o := Options{
		Size: f.size(), SectorSize: f.sector, Hidden: f.boot.HiddSec,
		Serial: f.Serial, Label: f.Label, Time: f.time(), Files: f.files(f.root),
	}
	c := &comparer{fs: f}
	err := Write(c, o)
	if err == nil {
		err = c.compareRest()
	}
	if c.difference != nil {
		err = c.difference // rather than the same as an error of writing
	}
	if err != nil {
		return fmt.Errorf("compare FAT32 volume: %w", err)
	}
	return nil
}

// time returns the time that Write gave to every entry, as the first one in the
// root has it.
func (f *FS) time() time.Time {
	switch {
	case f.Label != "":
		return f.labelTime
	case len(f.root.children) > 0:
		return f.root.children[0].modTime()
	}
	return time.Time{}
}

// files lists everything below a directory for Write.
func (f *FS) files(dir *node) []File {
	var list []File
	for _, child := range dir.children {
		path := child.path()
		if child.dir {
			list = append(append(list, File{Path: path + "/"}), f.files(child)...)
			continue
		}
		content := func() (io.ReadCloser, error) { return f.Open(path) }
		list = append(list, File{Path: path, Size: child.size, Open: content})
	}
	return list
}

// comparer is an io.WriterAt that holds what is written against a volume.
type comparer struct {
	fs         *FS
	written    []Extent
	difference error // the first
}

// WriteAt compares instead of writing.
func (c *comparer) WriteAt(want []byte, offset int64) (int, error) {
	c.written = append(c.written, Extent{offset, int64(len(want))})
	got := make([]byte, len(want))
	if err := fixed.ReadAt(c.fs.r, got, offset); err != nil {
		return 0, fmt.Errorf("%s: %w", c.fs.Describe(offset), err)
	}
	if d := fixed.Difference(got, want); d >= 0 {
		at := offset + int64(d)
		c.difference = fmt.Errorf("%s: byte %d of the volume is %#02x, want %#02x", c.fs.Describe(at), at, got[d], want[d])
		return 0, c.difference
	}
	return len(want), nil
}

// compareRest holds what Write did not write against zeros.
func (c *comparer) compareRest() error {
	written := slices.Clone(c.written)
	slices.SortFunc(written, func(a, b Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	zeros := make([]byte, 1<<18)
	at := int64(0)
	for _, e := range append(written, Extent{Offset: c.fs.size()}) {
		for at < e.Offset {
			n := min(int64(len(zeros)), e.Offset-at)
			if _, err := c.WriteAt(zeros[:n], at); err != nil {
				return err
			}
			at += n
		}
		at = max(at, e.Offset+e.Length)
	}
	return nil
}
