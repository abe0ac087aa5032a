package slot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
)

const (
	// staged is where an entry is written before it gets its name: not among the
	// entries, and called so that no boot loader takes it for one.
	staged = "ketch.new"
	// spare is what an ESP must have left, in bytes: a firmware that finds no room
	// to rename an entry, which counts a try, loses the file.
	spare = 1 << 20
)

// Add puts a boot entry on the ESP, whole or not at all: what is read from r is
// written elsewhere, read back from the medium, held against its SHA-256, and gets
// its name by one rename. An entry of that name that is there already is an error.
func (e ESP) Add(name entry.Name, r io.Reader, sum [sha256.Size]byte) error {
	return e.mounted(func(dir string) error {
		if err := add(dir, name, r, sum); err != nil {
			return fmt.Errorf("add boot entry %s: %w", name.File(), err)
		}
		return nil
	})
}

// Remove removes the boot entries with an ID, whatever their counters say. None is
// no error.
func (e ESP) Remove(id string) error {
	return e.mounted(func(dir string) error {
		if err := remove(filepath.Join(dir, layout.ESPEntries), id); err != nil {
			return fmt.Errorf("remove boot entry %s: %w", id, err)
		}
		return nil
	})
}

func add(dir string, name entry.Name, r io.Reader, sum [sha256.Size]byte) (err error) {
	if err := name.Validate(); err != nil {
		return err
	}
	stage, to := filepath.Join(dir, staged), filepath.Join(dir, layout.ESPEntries, name.File())
	if err := os.Remove(stage); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // what a power cut left
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removed(stage))
		}
	}()
	if err := write(stage, r); err != nil {
		return err
	}
	if err := hasRoom(dir); err != nil {
		return err
	}
	if err := readBack(stage, sum); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, stage, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: stage, New: to, Err: err}
	}
	return flush(filepath.Dir(to))
}

// removed removes a file that may have its name already, or never had one.
func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write writes a new file and waits until it is on the medium.
func write(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}

// hasRoom wants spare bytes free.
func hasRoom(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if free := int64(s.Bavail) * s.Bsize; free < spare {
		return fmt.Errorf("it would leave %d bytes free: the firmware needs %d to rename entries", free, spare)
	}
	return nil
}

// readBack reads a file from the medium, not from memory, and holds it against its
// digest.
func readBack(path string, want [sha256.Size]byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return os.NewSyscallError("fadvise", err)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return err
	}
	if got := [sha256.Size]byte(hash.Sum(nil)); got != want {
		return fmt.Errorf("SHA-256 of what was written is %x; want %x", got, want)
	}
	return nil
}

// remove removes entries from a directory. One that cannot be removed does not stop
// the others.
func remove(dir, id string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var faults []error
	for _, file := range files {
		if name, err := entry.Parse(file.Name()); err == nil && Same(name.ID, id) {
			faults = append(faults, os.Remove(filepath.Join(dir, file.Name())))
		}
	}
	return errors.Join(append(faults, flush(dir))...)
}
