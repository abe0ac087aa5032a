// Package filelock lets one process at a time do what a name stands for: a file of
// that name is locked (flock(2)) as long as the work lasts, and then removed. What
// a killed process leaves is an empty file, whose lock the kernel has released.
package filelock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld is the answer of Try while somebody else holds the lock.
var ErrHeld = errors.New("somebody else holds the lock")

// Lock is held until Release, or the end of the process.
type Lock struct{ file *os.File }

// Try takes the lock, or returns ErrHeld. On a file system that has no locks
// everybody gets it.
func Try(name string) (*Lock, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o666)
		if err != nil {
			return nil, err
		}
		current, err := lock(f)
		if err == nil && current {
			return &Lock{f}, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// lock locks f. Whoever unlinks the file holds its lock; so the lock counts only
// while the name still is the file that was locked.
func lock(f *os.File) (current bool, err error) {
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return false, ErrHeld
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.ENOLCK):
		return true, nil
	case err != nil:
		return false, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	locked, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(locked, there), nil
}

// between is the time from one attempt of Wait to the next. A wait inside
// flock(2) would not end with the context.
const between = 50 * time.Millisecond

// Wait takes the lock as soon as nobody else holds it.
func Wait(ctx context.Context, name string) (*Lock, error) {
	for {
		l, err := Try(name)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(between):
		}
	}
}

// Release removes the file and gives the lock back. A nil lock has none to give.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	return errors.Join(os.Remove(l.file.Name()), l.file.Close())
}
