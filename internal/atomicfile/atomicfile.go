// Package atomicfile writes files that appear under their names whole or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/builder/hint"
)

// File is written under the name of its stand-in until Commit.
type File struct {
	*os.File
	path string
}

// Create opens path's stand-in, path.partial. What an interrupted run left there
// is overwritten; one that is still going on is not disturbed.
func Create(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".partial", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, hint.Add(fmt.Errorf("%s is being written by someone else: %w", path, err), "wait for it, or give another name with -o")
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	return &File{f, path}, nil
}

// Commit gives the file its name.
func (f *File) Commit() error {
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	return f.Close()
}

// Discard removes the file; after Commit it does nothing.
func (f *File) Discard() error {
	err := f.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return errors.Join(err, os.Remove(f.Name()))
}
