package cloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ketch/builder/hint"
)

// Conversion is a raw disk in a file that is to become a file in another format.
type Conversion struct {
	Input    string
	Output   string // replaced, by a rename
	Format   Format
	Options  Options
	Progress func(done, size int64) // bytes of the disk that are in no hole; may be nil
}

// Run writes the output. On an error nothing of it is left.
func (c Conversion) Run(ctx context.Context) (err error) {
	in, err := os.Open(c.Input)
	if err != nil {
		return err
	}
	defer in.Close()
	disk, err := OpenDisk(in)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Input, err)
	}
	if sameFile(c.Input, c.Output) {
		return hint.Add(fmt.Errorf("%s would replace the image itself", c.Output), "give another name with -o")
	}
	if c.Progress != nil {
		size, err := disk.DataSize()
		if err != nil {
			return err
		}
		disk.Progress = func(done int64) { c.Progress(min(done, size), size) }
	}
	out, err := create(c.Output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := c.Format.Write(ctx, out, disk, c.Options); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", c.Output, err), os.Remove(out.Name()))
	}
	return os.Rename(out.Name(), c.Output)
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// create opens path's stand-in, path.partial. What an interrupted conversion
// left there is overwritten; one that is still going on is not disturbed.
func create(path string) (*os.File, error) {
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
	return f, nil
}
