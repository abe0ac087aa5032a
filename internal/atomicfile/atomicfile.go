// Package atomicfile writes files that appear under their names whole or not at
// all, whatever ends the process or the machine meanwhile.
//
// A file is written under a stand-in name in the same directory, flushed to the
// disk, renamed, and the directory is flushed: rename(2) is atomic for whoever
// looks, and only fsync(2) of both makes it so across a power cut. The stand-in
// is made with O_EXCL under a random name, so that two writers never share one
// and a link that somebody has laid is never followed. Of two writers the later
// wins; each file is whole.
//
// A stand-in whose writer was killed is removed by the next writer of the same
// name: a living one holds a lock on its stand-in (flock(2)).
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// suffix ends the name of every stand-in.
const suffix = ".partial"

// File is written under the name of its stand-in until Commit.
type File struct {
	*os.File
	path string
}

// Create opens a new stand-in for path, with perm before the umask. What path
// names now must be a regular file or nothing: a device, a FIFO, a link or a
// directory is never replaced.
func Create(path string, perm fs.FileMode) (*File, error) {
	if err := Replaceable(path); err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	f, err := open(filepath.Dir(path), "."+base[:min(len(base), longest)]+".", perm)
	if err != nil {
		return nil, err
	}
	return &File{f, path}, nil
}

// CreateIn opens a new stand-in in dir for a file whose name is known once it is
// written, by its digest for example: CommitAs gives it.
func CreateIn(dir string, perm fs.FileMode) (*File, error) {
	f, err := open(dir, ".", perm)
	if err != nil {
		return nil, err
	}
	return &File{File: f}, nil
}

// longest is how much of a file's name its stand-in's has: with the rest it stays
// within the 255 bytes of a name.
const longest = 200

// open makes a stand-in whose name begins with prefix.
func open(dir, prefix string, perm fs.FileMode) (*os.File, error) {
	sweep(dir, prefix)
	for {
		name := filepath.Join(dir, prefix+strconv.FormatUint(rand.Uint64(), 36)+suffix)
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Where there are no locks nobody can take this one, either.
		_ = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if named(f) {
			return f, nil
		}
		f.Close() // another writer's sweep was faster than the lock
	}
}

// named tells whether f's name still stands for f.
func named(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(open, there)
}

// sweep removes stand-ins that nobody writes any more. What cannot be removed is
// left: it harms nobody.
func sweep(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() && standIn(e.Name(), prefix) {
			removeAbandoned(filepath.Join(dir, e.Name()))
		}
	}
}

// standIn tells whether open may have made up the name.
func standIn(name, prefix string) bool {
	rest, begins := strings.CutPrefix(name, prefix)
	number, ends := strings.CutSuffix(rest, suffix)
	_, err := strconv.ParseUint(number, 36, 64)
	return begins && ends && err == nil
}

func removeAbandoned(name string) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && named(f) {
		os.Remove(name)
	}
}

// Commit flushes the file, gives it its name, and flushes the directory. After
// an error the file is gone, unless only the last step went wrong.
func (f *File) Commit() error { return f.CommitAs(f.path) }

// CommitAs is Commit with another name, on the same file system.
func (f *File) CommitAs(path string) error {
	err := errors.Join(f.Sync(), Replaceable(path))
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, f.Discard())
	}
	return errors.Join(f.Close(), SyncDir(filepath.Dir(path)))
}

// Discard removes the file; after Commit it does nothing.
func (f *File) Discard() error {
	if f.File.Fd() == ^uintptr(0) { // closed
		return nil
	}
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// WriteFile writes data to path, with perm before the umask, as a File does.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Commit()
}

// Move gives a file that another program has written the name path, on the same
// file system: flush, rename, flush the directory.
func Move(from, path string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close(), Replaceable(path)); err != nil {
		return err
	}
	if err := os.Rename(from, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir flushes a directory: the names in it, not what they stand for. File
// systems that flush no directories say EINVAL or ENOTSUP (fsync(2)); there is
// no more to be had from them.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// NotReplaceableError is what a name stands for when it is no regular file.
type NotReplaceableError struct {
	Path string
	Mode fs.FileMode // its type
}

func (e *NotReplaceableError) Error() string {
	return fmt.Sprintf("write %s: it is a %s, not a file that can be replaced", e.Path, Kind(e.Mode))
}

// Kind says what a name of a type stands for, for a person.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "FIFO"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeCharDevice != 0:
		return "character device"
	case mode&fs.ModeDevice != 0:
		return "block device"
	}
	return "special file"
}

// Replaceable returns nil when path names a regular file or nothing. The error
// is a *NotReplaceableError when it names something else.
func Replaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return &NotReplaceableError{path, info.Mode().Type()}
	}
	return nil
}
