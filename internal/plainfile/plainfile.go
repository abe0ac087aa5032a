// Package plainfile opens and reads files that somebody else may have put there:
// below /var, which outlasts every version and any repair by hand, or in a
// directory that a container writes to. Under such a name there may be a FIFO,
// which an open would wait at for ever, a link that leads elsewhere, a socket, a
// device, a directory, or a file too large for memory. None of them is read, each
// is an error, and nothing waits.
//
// Left out: a device's driver may be asked before it is known for one. /var is
// mounted nodev, which the kernel sees to first.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/printable"
)

// ErrForeign is the error of a name that stands for something other than a plain file.
var ErrForeign = errors.New("is no plain file")

// ErrTooLarge is the error of a file that is larger than its reader takes.
var ErrTooLarge = errors.New("is too large")

// Open opens a plain file. The flags are those of open(2).
func Open(path string, flags int, perm fs.FileMode) (*os.File, error) {
	file, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, perm)
	return plain(file, err, func() (fs.FileInfo, error) { return os.Lstat(path) })
}

// OpenIn is Open below a directory, which the name does not lead out of.
func OpenIn(root *os.Root, name string, flags int, perm fs.FileMode) (*os.File, error) {
	if info, err := root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrForeign} // a Root would follow a link that stays inside
	}
	file, err := root.OpenFile(name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, perm)
	return plain(file, err, func() (fs.FileInfo, error) { return root.Lstat(name) })
}

// plain passes on what was opened if it is a plain file. What could not be opened
// is looked at: each kind of foreign thing has an error number of its own.
func plain(file *os.File, err error, there func() (fs.FileInfo, error)) (*os.File, error) {
	if err != nil {
		var at *fs.PathError
		if info, gone := there(); gone == nil && !info.Mode().IsRegular() && errors.As(err, &at) {
			err = &fs.PathError{Op: at.Op, Path: at.Path, Err: ErrForeign}
		}
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: file.Name(), Err: ErrForeign}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Read returns the content of a plain file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	file, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return readAll(file, limit)
}

// ReadIn is Read below a directory, which the name does not lead out of.
func ReadIn(root *os.Root, name string, limit int64) ([]byte, error) {
	file, err := OpenIn(root, name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return readAll(file, limit)
}

// ReadBelow returns the content of a plain file of at most limit bytes, under the
// name that it has for a process whose root directory is dir: links are followed,
// and lead nowhere else (openat2(2), RESOLVE_IN_ROOT). What is no plain file is not
// even opened, only looked at: no driver is asked.
func ReadBelow(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	there, err := plain(os.NewFile(uintptr(fd), name), nil, nil)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	opened, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return readAll(os.NewFile(uintptr(opened), name), limit)
}

// readAll reads no more than it takes to know that there is too much: a size may be
// false, as of a file that grows.
func readAll(file *os.File, limit int64) ([]byte, error) {
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: file.Name(), Err: fmt.Errorf("%w: at most %d bytes are taken", ErrTooLarge, limit)}
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// maxName is how long a name may be, in bytes (limits.h, NAME_MAX).
const maxName = 255

// Name returns a name that comes from outside, from firmware, a disk, a network or
// a container, if it may be one element of a path: one that stays where it is put,
// and that a person can read. Every such name goes through here, or through a
// narrower rule of its own, before it becomes part of a path.
func Name(name string) (string, error) {
	switch {
	case name == "" || name == "." || name == "..":
		return "", fmt.Errorf("%q is no name of a file", name)
	case len(name) > maxName:
		return "", fmt.Errorf("name %.40q…: %d bytes are more than a file's name may have", name, len(name))
	}
	for _, char := range name {
		if char == '/' {
			return "", fmt.Errorf("name %.80q: a slash would lead elsewhere", name)
		}
	}
	if printable.Text(name) != name {
		return "", fmt.Errorf("name %.80q: it has characters that do not print", name)
	}
	return name, nil
}
