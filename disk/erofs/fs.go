package erofs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"
)

var (
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.ReadLinkFS = (*FS)(nil)
)

// maxHops is how many symbolic links a path may lead through, as in Linux.
const maxHops = 40

// Open opens a file, following symbolic links. The image is their world: an
// absolute target starts at its root and ".." does not leave it.
func (f *FS) Open(name string) (fs.File, error) {
	in, parent, err := f.resolve(name, true)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	info := fileInfo{path.Base(name), &in.Stat}
	if in.isDir() {
		return &openDir{info: info, f: f, in: in, parent: parent}, nil
	}
	if in.Mode&typeMask != typeRegular {
		return &openFile{info, io.NewSectionReader(strings.NewReader(""), 0, 0)}, nil
	}
	return &openFile{info, f.content(in)}, nil
}

// Stat tells about a file, following symbolic links. Sys returns a *Stat.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name, true) }

// Lstat tells about a file, and about a symbolic link itself.
func (f *FS) Lstat(name string) (fs.FileInfo, error) { return f.stat("lstat", name, false) }

func (f *FS) stat(op, name string, follow bool) (fs.FileInfo, error) {
	in, _, err := f.resolve(name, follow)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return fileInfo{path.Base(name), &in.Stat}, nil
}

// ReadDir returns the entries of a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	in, parent, err := f.resolve(name, true)
	var entries []fs.DirEntry
	if err == nil {
		entries, err = f.dirEntries(in, parent)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return entries, nil
}

func (f *FS) dirEntries(in *inode, parent uint64) ([]fs.DirEntry, error) {
	children, err := f.children(in, parent)
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, len(children))
	for i, c := range children {
		entries[i] = fs.FileInfoToDirEntry(fileInfo{c.name, &c.inode.Stat})
	}
	return entries, nil
}

// ReadLink returns the target of a symbolic link.
func (f *FS) ReadLink(name string) (string, error) {
	in, _, err := f.resolve(name, false)
	if err == nil && !in.isSymlink() {
		err = fs.ErrInvalid
	}
	var target string
	if err == nil {
		target, err = f.readLink(in)
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

// Target returns the target of a symbolic link that Walk or a FileInfo told about.
// Unlike ReadLink it does not look the file up by its path.
func (f *FS) Target(s *Stat) (string, error) {
	in, err := f.inode(s.NID)
	if err == nil && !in.isSymlink() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", fmt.Errorf("read link inode %d: %w", s.NID, err)
	}
	return f.readLink(in)
}

// Content returns a reader of a regular file that Walk or a FileInfo told about.
// Unlike Open it does not look the file up by its path.
func (f *FS) Content(s *Stat) (*io.SectionReader, error) {
	in, err := f.inode(s.NID)
	if err == nil && in.Mode&typeMask != typeRegular {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, fmt.Errorf("read inode %d: %w", s.NID, err)
	}
	return f.content(in), nil
}

// resolve finds the inode that a path leads to, and the number of the
// directory it was found in. A link at the end of the path is followed on request.
func (f *FS) resolve(name string, follow bool) (_ *inode, parent uint64, err error) {
	// Names are bytes, as to the kernel: that a path is no UTF-8 is no fault.
	if !fs.ValidPath(strings.ToValidUTF8(name, "?")) || len(name) > maxPath {
		return nil, 0, fs.ErrInvalid
	}
	root, err := f.inode(uint64(f.super.RootNID))
	if err != nil {
		return nil, 0, err
	}
	stack := []*inode{root} // the way here
	todo := strings.Split(name, "/")
	for hops := 0; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		here := stack[len(stack)-1]
		if !here.isDir() {
			return nil, 0, syscall.ENOTDIR
		}
		switch next {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		in, err := f.lookup(here, next)
		if err != nil {
			return nil, 0, err
		}
		if !in.isSymlink() || len(todo) == 0 && !follow {
			stack = append(stack, in)
			continue
		}
		if hops++; hops > maxHops {
			return nil, 0, syscall.ELOOP
		}
		target, err := f.readLink(in)
		if err != nil {
			return nil, 0, err
		}
		if strings.HasPrefix(target, "/") {
			stack = stack[:1]
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return stack[len(stack)-1], stack[max(0, len(stack)-2)].NID, nil
}

// fileInfo is the fs.FileInfo of an inode under one of its names.
type fileInfo struct {
	name string
	stat *Stat
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.stat.Size }
func (i fileInfo) Mode() fs.FileMode  { return fileMode(i.stat.Mode) }
func (i fileInfo) ModTime() time.Time { return i.stat.Mtime }
func (i fileInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i fileInfo) Sys() any           { return i.stat }

// openFile is an open file; it can be read at any offset.
type openFile struct {
	info fileInfo
	*io.SectionReader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir is an open directory.
type openDir struct {
	info   fileInfo
	f      *FS
	in     *inode
	parent uint64
	read   bool
	rest   []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

// ReadDir is as fs.ReadDirFile wants it.
func (d *openDir) ReadDir(n int) (entries []fs.DirEntry, err error) {
	if !d.read {
		if d.rest, err = d.f.dirEntries(d.in, d.parent); err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: d.info.name, Err: err}
		}
		d.read = true
	}
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.rest))
	entries, d.rest = d.rest[:n:n], d.rest[n:]
	return entries, nil
}
