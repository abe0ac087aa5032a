package iso9660

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

var (
	_ fs.FS          = (*Volume)(nil)
	_ fs.ReadDirFile = (*file)(nil)
)

// Open opens a file or directory. Names are compared as they are written.
func (v *Volume) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	n := v.root
	if name != "." {
		for element := range strings.SplitSeq(name, "/") {
			i := slices.IndexFunc(n.children, func(child *node) bool { return child.name == element })
			if i < 0 {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			n = n.children[i]
		}
	}
	return &file{SectionReader: io.NewSectionReader(v.r, n.at, n.size), node: n}, nil
}

// file is an open file or directory.
type file struct {
	*io.SectionReader
	node *node
	next int // child that ReadDir goes on with
}

func (f *file) Close() error { return nil }

func (f *file) Read(p []byte) (int, error) {
	if f.node.dir {
		return 0, &fs.PathError{Op: "read", Path: f.node.name, Err: errors.New("is a directory")}
	}
	return f.SectionReader.Read(p)
}

func (f *file) Stat() (fs.FileInfo, error) { return info{f.node}, nil }

// ReadDir lists a directory in the order of the volume.
func (f *file) ReadDir(n int) ([]fs.DirEntry, error) {
	if !f.node.dir {
		return nil, &fs.PathError{Op: "readdir", Path: f.node.name, Err: errors.New("is no directory")}
	}
	rest := f.node.children[f.next:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	f.next += len(rest)
	list := make([]fs.DirEntry, len(rest))
	for i, child := range rest {
		list[i] = fs.FileInfoToDirEntry(info{child})
	}
	return list, nil
}

// info is what is known of a file: it has no owner and no time here.
type info struct{ node *node }

func (i info) Name() string {
	if i.node.name == "" {
		return "."
	}
	return i.node.name
}
func (i info) Size() int64        { return i.node.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.node.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.node.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
