package imagefs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/builder/limit"
)

// Extraction puts files of a tree under a directory of this machine, each at
// its whole path, and nothing anywhere else, whatever links lie there (os.Root).
// Modes, times and hard links are kept; owners, all extended attributes, set-ID
// bits and devices only where AsRoot allows. A file that is there already is
// never replaced.
type Extraction struct {
	Dir     string
	AsRoot  bool
	MaxSize int64 // of all files together, in bytes; 0: limit.Default
	// Lost is told of a file that could not be made or is not wholly as in the image.
	Lost  func(path, what string)
	Files int // how many Run has made, directories included

	ctx    context.Context
	budget *limit.Budget
	root   *os.Root
	in     directory        // what was made last lies in it
	first  map[Inode]string // the first name of a file with several
	dirs   []*File          // made, their attributes still to be set
	// leftOut tells that owners, attributes or set-ID bits are not as in the image.
	leftOut bool
}

// Run extracts files, a directory with all that lies in it. It returns whether
// owners, attributes or set-ID bits were left out because it was not AsRoot. When
// ctx ends it stops; a file that is not whole is removed.
func (x *Extraction) Run(ctx context.Context, t *Tree, paths ...string) (leftOut bool, err error) {
	if err := os.MkdirAll(x.Dir, 0o777); err != nil {
		return false, err
	}
	if x.root, err = os.OpenRoot(x.Dir); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, x.in.close(), x.root.Close()) }()
	x.first, x.ctx = map[Inode]string{}, ctx
	x.budget = limit.New(cmp.Or(x.MaxSize, limit.Default), "write into "+x.Dir)
	for _, name := range paths {
		err := t.Walk(name, -1, func(f *File) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := x.file(f); err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			x.Files++
			return nil
		})
		if err != nil {
			return x.leftOut, err
		}
	}
	// From the inside out: what is made in a directory changes its time, and a
	// directory's mode may forbid to make anything.
	for _, dir := range slices.Backward(x.dirs) {
		if err := x.attributes(dir); err != nil {
			return x.leftOut, fmt.Errorf("%s: %w", dir.Path, err)
		}
	}
	return x.leftOut, nil
}

// place is a file's path under the directory.
func place(f *File) string { return path.Join(".", f.Path) }

// base is a file's name in the directory that it lies in.
func base(f *File) string { return path.Base(place(f)) }

// file makes one file.
func (x *Extraction) file(f *File) error {
	if f.IsDir() {
		return x.dir(f)
	}
	if err := x.enter(f); err != nil {
		return err
	}
	if f.Stat.Nlink > 1 {
		if first, ok := x.first[f.Inode()]; ok {
			return x.root.Link(first, place(f))
		}
	}
	made, err := x.create(f)
	if err != nil || !made {
		return err
	}
	x.first[f.Inode()] = place(f)
	return x.attributes(f)
}

// dir makes a directory. One that is there keeps what is in it.
func (x *Extraction) dir(f *File) error {
	if err := x.enter(f); err != nil {
		return err
	}
	err := x.in.root.Mkdir(base(f), 0o700)
	if errors.Is(err, fs.ErrExist) {
		var info fs.FileInfo
		if info, err = x.in.root.Lstat(base(f)); err == nil && !info.IsDir() {
			err = fs.ErrExist
		}
	}
	if err == nil && f.fsys != nil {
		x.dirs = append(x.dirs, f)
	}
	return err
}

// directory is one that is held open: looking each name up from the root would
// take several times as long.
type directory struct {
	name string
	root *os.Root
	file *os.File // for system calls that os.Root does not have
}

func (d *directory) close() error {
	if d.root == nil {
		return nil
	}
	err := errors.Join(d.file.Close(), d.root.Close())
	*d = directory{}
	return err
}

// enter opens the directory that a file lies in. It is made, with those above, for a
// file that was named by itself.
func (x *Extraction) enter(f *File) (err error) {
	name := path.Dir(place(f))
	if x.in.root != nil && x.in.name == name {
		return nil
	}
	if err := x.in.close(); err != nil {
		return err
	}
	root, err := x.root.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := x.root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		root, err = x.root.OpenRoot(name)
	}
	if err != nil {
		return err
	}
	file, err := root.Open(".")
	if err != nil {
		return errors.Join(err, root.Close())
	}
	x.in = directory{name, root, file}
	return nil
}

// create makes what is no directory, without attributes. It is not made where
// the machine does not allow it: Lost is told.
func (x *Extraction) create(f *File) (made bool, err error) {
	switch f.Stat.Mode & typeMask {
	case typeRegular:
		return true, x.regular(f)
	case typeSymlink:
		return true, x.in.root.Symlink(f.Target, base(f))
	}
	if f.IsDevice() && !x.AsRoot {
		x.Lost(f.Path, "device, which only root can make")
		return false, nil
	}
	err = unix.Mknodat(int(x.in.file.Fd()), base(f), f.Stat.Mode&typeMask|0o600, int(f.Stat.Rdev))
	if errors.Is(err, unix.EPERM) {
		x.Lost(f.Path, "device, which this machine does not allow to make")
		return false, nil
	}
	return true, err
}

func (x *Extraction) regular(f *File) (err error) {
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := x.in.root.OpenFile(base(f), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(x.budget.Writer(to), reader{x.ctx, from}); err != nil {
		return errors.Join(err, to.Close(), x.in.root.Remove(base(f)))
	}
	return to.Close()
}

// reader ends with its context.
type reader struct {
	ctx  context.Context
	from io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// attributes gives a file its owner, extended attributes, mode and time, in this
// order: a new owner takes away capabilities and set-ID bits.
func (x *Extraction) attributes(f *File) error {
	if err := x.enter(f); err != nil {
		return err
	}
	dir, name := int(x.in.file.Fd()), base(f)
	if err := x.owner(f, dir, name); err != nil {
		return err
	}
	if err := x.xattrs(f, dir, name); err != nil {
		return err
	}
	if err := x.mode(f, dir, name); err != nil {
		return err
	}
	at := []unix.Timespec{{Sec: f.Stat.Mtime.Unix(), Nsec: int64(f.Stat.Mtime.Nanosecond())}}
	at = append(at, at[0])
	if err := unix.UtimesNanoAt(dir, name, at, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set time", Path: f.Path, Err: err}
	}
	return nil
}

func (x *Extraction) owner(f *File, dir int, name string) error {
	if !x.AsRoot {
		own := int(f.Stat.UID) == os.Getuid() && int(f.Stat.GID) == os.Getgid()
		x.leftOut = x.leftOut || !own
		return nil
	}
	if err := unix.Fchownat(dir, name, int(f.Stat.UID), int(f.Stat.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set owner", Path: f.Path, Err: err}
	}
	return nil
}

func (x *Extraction) xattrs(f *File, dir int, name string) error {
	for attribute, value := range f.Xattrs {
		if !x.AsRoot {
			x.leftOut = true
			continue
		}
		// There is no lsetxattrat; the directory itself is held open.
		err := unix.Lsetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", dir, name), attribute, value, 0)
		switch {
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ERANGE), errors.Is(err, unix.E2BIG):
			x.Lost(f.Path, "extended attribute "+attribute+", which the file system does not take")
		case err != nil:
			return &fs.PathError{Op: "set extended attribute " + attribute, Path: f.Path, Err: err}
		}
	}
	return nil
}

const setID = 0o6000

func (x *Extraction) mode(f *File, dir int, name string) error {
	mode := f.Stat.Mode &^ typeMask
	if f.Stat.Mode&typeMask == typeSymlink {
		return nil // links have no mode of their own
	}
	if !x.AsRoot && mode&setID != 0 {
		mode, x.leftOut = mode&^setID, true
	}
	if err := chmod(dir, name, f.Stat.Mode&typeMask|mode); err != nil {
		return &fs.PathError{Op: "set mode", Path: f.Path, Err: err}
	}
	return nil
}

// chmod sets the mode of a file that must be of the mode's type: should a link
// have taken its place, it is not followed.
func chmod(dir int, name string, mode uint32) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var is unix.Stat_t
	if err := unix.Fstat(fd, &is); err != nil {
		return err
	}
	if is.Mode&typeMask != mode&typeMask {
		return errors.New("something else has taken its place")
	}
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode&^typeMask)
}
