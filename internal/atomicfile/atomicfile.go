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
	sweep(path)
	for {
		name := filepath.Join(filepath.Dir(path), prefix(path)+strconv.FormatUint(rand.Uint64(), 36)+suffix)
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
			return &File{f, path}, nil
		}
		f.Close() // another writer's sweep was faster than the lock
	}
}

// prefix begins the names of path's stand-ins. Together with the rest they stay
// within the 255 bytes of a name.
func prefix(path string) string {
	base := filepath.Base(path)
	return "." + base[:min(len(base), 200)] + "."
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

// sweep removes stand-ins of path that nobody writes any more. What cannot be
// removed is left: it harms nobody.
func sweep(path string) {
	dir, before := filepath.Dir(path), prefix(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), before)
		if middle, ok2 := strings.CutSuffix(middle, suffix); ok && ok2 && e.Type().IsRegular() {
			if _, err := strconv.ParseUint(middle, 36, 64); err == nil {
				removeAbandoned(filepath.Join(dir, e.Name()))
			}
		}
	}
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
func (f *File) Commit() error {
	if err := errors.Join(f.Sync(), Replaceable(f.path)); err != nil {
		return errors.Join(err, f.Discard())
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return errors.Join(err, f.Discard())
	}
	return errors.Join(f.Close(), SyncDir(filepath.Dir(f.path)))
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
	return fmt.Sprintf("write %s: it is a %s, not a file that can be replaced", e.Path, e.Kind())
}

// Kind says what stands there, for a person.
func (e *NotReplaceableError) Kind() string {
	switch {
	case e.Mode.IsDir():
		return "directory"
	case e.Mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case e.Mode&fs.ModeNamedPipe != 0:
		return "FIFO"
	case e.Mode&fs.ModeSocket != 0:
		return "socket"
	case e.Mode&fs.ModeCharDevice != 0:
		return "character device"
	case e.Mode&fs.ModeDevice != 0:
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
