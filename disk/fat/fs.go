package fat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

var (
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadFileFS = (*FS)(nil)

	errIsDir  = errors.New("is a directory")
	errNotDir = errors.New("not a directory")
)

// find returns the node of a path in the form of io/fs.
func (f *FS) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := f.root
	if name == "." {
		return n, nil
	}
	for _, element := range strings.Split(name, "/") {
		if n = n.byName[fold(element)]; n == nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return n, nil
}

// Open opens a file, which then is an io.ReaderAt and io.Seeker too, or a directory.
func (f *FS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.dir {
		return &openDir{node: n}, nil
	}
	return &openFile{io.NewSectionReader(extentReader{f.r, n.extents}, 0, n.size), n}, nil
}

// Stat returns what the directory entry says.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	n, err := f.find("stat", name)
	if err != nil {
		return nil, err
	}
	return info{n}, nil
}

// ReadDir returns the entries of a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return n.entries(), nil
}

// ReadFile returns the content of a file.
func (f *FS) ReadFile(name string) ([]byte, error) {
	n, err := f.find("read", name)
	if err != nil {
		return nil, err
	}
	if n.dir {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	b := make([]byte, n.size)
	if err := fixed.ReadAt(extentReader{f.r, n.extents}, b, 0); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return b, nil
}

// Extents returns where the bytes of a file or directory lie in the volume, in
// order, whole clusters. An empty file has none.
func (f *FS) Extents(name string) ([]Extent, error) {
	n, err := f.find("extents", name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.extents), nil
}

// Describe names what lies at a byte of the volume: "boot sector", "FAT 1",
// "directory EFI/Linux", "file EFI/BOOT/BOOTX64.EFI", "free space" …
func (f *FS) Describe(offset int64) string {
	switch sector := offset / f.sector; {
	case offset < 0 || offset >= f.size():
		return "beyond the volume"
	case sector == 0:
		return "boot sector"
	case sector == int64(f.boot.FSInfo):
		return "FSInfo sector"
	case sector >= int64(f.boot.BkBootSec) && sector < int64(f.boot.BkBootSec)+bootSectors:
		return "backup boot sector"
	case offset < f.fatOffset(0):
		return "reserved sectors"
	case offset < f.dataOffset():
		return fmt.Sprintf("FAT %d", (offset-f.fatOffset(0))/(f.fatSectors*f.sector)+1)
	}
	at := sort.Search(len(f.areas), func(i int) bool { return f.areas[i].Offset > offset }) - 1
	if at < 0 || offset >= f.areas[at].Offset+f.areas[at].Length {
		return "free space"
	}
	return f.areas[at].node.String()
}

// extentReader reads the bytes of extents as if they were one piece.
type extentReader struct {
	r       io.ReaderAt
	extents []Extent
}

func (e extentReader) ReadAt(b []byte, offset int64) (n int, err error) {
	for _, x := range e.extents {
		if offset >= x.Length {
			offset -= x.Length
			continue
		}
		part := b[n:min(int64(len(b)), int64(n)+x.Length-offset)]
		if err := fixed.ReadAt(e.r, part, x.Offset+offset); err != nil {
			return n, err
		}
		if n += len(part); n == len(b) {
			return n, nil
		}
		offset = 0
	}
	return n, io.EOF
}

// openFile is an open file. It reads, reads at, and seeks.
type openFile struct {
	*io.SectionReader
	node *node
}

func (f *openFile) Stat() (fs.FileInfo, error) { return info{f.node}, nil }
func (f *openFile) Close() error               { return nil }

// openDir is an open directory.
type openDir struct {
	node *node
	next int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return info{d.node}, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.node.path(), Err: errIsDir}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.node.entries()[d.next:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	d.next += len(rest)
	return rest, nil
}

func (n *node) entries() []fs.DirEntry {
	list := make([]fs.DirEntry, len(n.children))
	for i, child := range n.children {
		list[i] = fs.FileInfoToDirEntry(info{child})
	}
	return list
}

// info is what there is to know about a node.
type info struct{ node *node }

func (i info) Name() string {
	if i.node.parent == nil {
		return "."
	}
	return i.node.name
}

func (i info) Size() int64        { return i.node.size }
func (i info) ModTime() time.Time { return i.node.modTime() }
func (i info) IsDir() bool        { return i.node.dir }
func (i info) Sys() any           { return nil }

// Mode is made up from the read-only attribute: FAT has no owners.
func (i info) Mode() fs.FileMode {
	mode := fs.FileMode(0o644)
	if i.node.dir {
		mode = fs.ModeDir | 0o755
	}
	if i.node.entry.Attr&attrReadOnly != 0 {
		mode &^= 0o222
	}
	return mode
}
