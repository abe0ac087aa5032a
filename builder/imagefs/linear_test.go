package imagefs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/erofs/sample"
)

// counter counts the reads of an image.
type counter struct {
	*bytes.Reader
	reads int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.Reader.ReadAt(p, off)
}

// crowd makes an image with n files and n links in one directory.
func crowd(t *testing.T, n int) (*Tree, *counter) {
	t.Helper()
	children := map[string]*erofs.Inode{}
	for i := range n {
		children[fmt.Sprintf("f%07d", i)] = &erofs.Inode{Mode: typeRegular | 0o644, Size: 1, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader([]byte{'x'})), nil
		}}
		children[fmt.Sprintf("l%07d", i)] = &erofs.Inode{Mode: typeSymlink | 0o777, Target: "f0000000"}
	}
	root := &erofs.Inode{Mode: typeDir | 0o755, Children: map[string]*erofs.Inode{"m": {Mode: typeDir | 0o755, Children: children}}}
	var image bytes.Buffer
	if _, err := erofs.Write(&image, root, sample.Options()); err != nil {
		t.Fatal(err)
	}
	c := &counter{Reader: bytes.NewReader(image.Bytes())}
	usr, err := erofs.Open(c, int64(image.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return &Tree{volumes: map[string]fs.FS{"": usr}}, c
}

// A walk that looks every name up from the root reads more for each, the more there are.
func TestWalkIsLinear(t *testing.T) {
	perFile := func(n int) float64 {
		tree, c := crowd(t, n)
		files := 0
		err := tree.Walk("/", -1, func(f *File) error {
			files++
			if !f.IsRegular() {
				return nil
			}
			r, err := f.Open()
			if err != nil {
				return err
			}
			_, err = io.ReadAll(r)
			return err
		})
		if err != nil || files != 2*n+2 {
			t.Fatalf("Walk() saw %d files, %v; want %d", files, err, 2*n+2)
		}
		return float64(c.reads) / float64(files)
	}
	few, many := perFile(100), perFile(20000)
	if many > few*1.2 {
		t.Errorf("%.1f reads for each of 200 files, %.1f for each of 40,000", few, many)
	}
}
