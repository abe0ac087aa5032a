// Package output is where commands put what they make: files that a person has
// named. They appear whole or not at all, nothing but a regular file is ever
// replaced, and of two commands that write the same name the second is refused,
// since what belongs together, an image and its bill of materials, would mix.
package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/filelock"
)

// File is written under the name of a stand-in until Commit. Nothing can be
// written any more once its context has ended, so that every loop around it ends.
type File struct {
	*atomicfile.File
	ctx  context.Context
	lock *filelock.Lock
}

// Write is that of os.File.
func (f *File) Write(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// WriteAt is that of os.File.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

// ReadFrom copies through Write.
func (f *File) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

// Check finds out, before any work is done, that nothing can be written to path.
func Check(path string) error {
	err := atomicfile.Replaceable(path)
	var special *atomicfile.NotReplaceableError
	if !errors.As(err, &special) {
		return err
	}
	switch {
	case special.Mode.IsDir():
		return hint.Add(err, "name a file in it with -o")
	case special.Mode&fs.ModeSymlink != 0:
		if target, readErr := os.Readlink(path); readErr == nil {
			return hint.Add(err, "it points to %s: give that name, or remove the link", target)
		}
	case special.Mode&fs.ModeDevice != 0:
		return hint.Add(err, "write a file, and copy it to the device: dd if=FILE of=%s bs=4M conv=fsync", path)
	}
	return hint.Add(err, "give the name of a file with -o")
}

// Create opens the stand-in of path, whose directory it makes where it is
// missing. The file is for everybody whom the umask lets read it.
func Create(ctx context.Context, path string) (*File, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	f, err := atomicfile.Create(path, 0o666)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return &File{f, ctx, lock}, nil
}

// Commit gives the file its name.
func (f *File) Commit() error {
	return errors.Join(f.File.Commit(), f.unlock())
}

// Discard removes the file; after Commit it does nothing.
func (f *File) Discard() error {
	return errors.Join(f.File.Discard(), f.unlock())
}

func (f *File) unlock() error {
	lock := f.lock
	f.lock = nil
	return lock.Release()
}

// WriteFile writes data to path, which lies beside an output.
func WriteFile(path string, data []byte) error {
	if err := Check(path); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, data, 0o666)
}

// acquire locks path for this command, by a file beside it.
func acquire(path string) (*filelock.Lock, error) {
	lock, err := filelock.Try(filepath.Join(filepath.Dir(path), lockName(filepath.Base(path))))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, hint.Add(fmt.Errorf("write %s: it is being written by someone else", path), "wait for it, or give another name with -o")
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = &fs.PathError{Op: "write", Path: path, Err: at.Err} // the lock is our affair
	}
	return lock, err
}

// lockName stays within the 255 bytes of a name.
func lockName(base string) string { return "." + base[:min(len(base), 200)] + ".lock" }
