package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ketch/builder/hint"
)

// output is a file that appears under its name whole or not at all.
type output struct {
	*os.File
	path string
}

// createOutput opens path's stand-in, path.partial. What an interrupted build
// left there is overwritten; a build that is still going on is not.
func createOutput(path string) (*output, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".partial", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, hint.Add(fmt.Errorf("%s is being written by another build: %w", path, err), "wait for it, or give another name with -o")
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	return &output{f, path}, nil
}

// commit gives the file its name.
func (o *output) commit() error {
	if err := os.Rename(o.Name(), o.path); err != nil {
		return err
	}
	return o.Close()
}

// discard removes the file; after commit it does nothing.
func (o *output) discard() error {
	err := o.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return errors.Join(err, os.Remove(o.Name()))
}
