package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/filelock"
)

// machineDir is where the machine of an image lives from one run to the next: a
// directory beside the image, named after it. What else lies in it is not ours.
type machineDir struct {
	image, path string
	lock        *filelock.Lock
}

// The files of a machineDir.
const (
	diskFile = "disk.raw"
	newDisk  = "disk.new"  // a copy that is not whole yet
	madeFrom = "made-from" // makes the directory ours, and tells of which image the disk is a copy
)

// outlived are the files of a machine that another one does not take over.
var outlived = []string{newDisk, qemu.VariablesFile, doorKey, doorKnown, doorConfig}

// lockMachine gives this process the machine of an image. Nothing is touched
// before, so that a machine that runs keeps its disk.
func lockMachine(image string) (*machineDir, error) {
	m := &machineDir{image: image, path: image + ".machine"}
	lock, err := filelock.Try(m.lockFile())
	if errors.Is(err, filelock.ErrHeld) {
		return nil, hint.Add(fmt.Errorf("%s: a machine runs from this disk%s", m.path, m.holder()),
			"Ctrl-A X on its terminal ends it; --test CMD and --ssh -- CMD make a machine of their own")
	}
	if err != nil {
		return nil, m.unwritable(err)
	}
	m.lock = lock
	// Whom to name to those who come while it runs.
	if err := os.WriteFile(m.lockFile(), fmt.Appendln(nil, os.Getpid()), 0o666); err != nil {
		return nil, errors.Join(m.unwritable(err), lock.Release())
	}
	return m, nil
}

// lockFile lies outside the directory, which may be somebody else's.
func (m *machineDir) lockFile() string {
	return filepath.Join(filepath.Dir(m.path), "."+filepath.Base(m.path)+".lock")
}

// holder names the process that has the lock, where it has said so already.
func (m *machineDir) holder() string {
	text, err := os.ReadFile(m.lockFile())
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

func (m *machineDir) unwritable(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err // the file is our affair
	}
	return hint.Add(fmt.Errorf("keep the machine's disk in %s: %w", m.path, err),
		"it is kept beside the image: copy that to a directory of yours; --test CMD and --ssh -- CMD need none")
}

// file is the path of one of the files.
func (m *machineDir) file(name string) string { return filepath.Join(m.path, name) }

// release lets others run the machine.
func (m *machineDir) release() error { return m.lock.Release() }

// claim makes the directory, or finds that it is ours.
func (m *machineDir) claim() error {
	err := os.Mkdir(m.path, 0o777)
	if !errors.Is(err, fs.ErrExist) {
		if err != nil {
			return m.unwritable(err)
		}
		return nil
	}
	entries, err := os.ReadDir(m.path)
	if err == nil && len(entries) > 0 {
		_, err = os.Lstat(m.file(madeFrom))
	}
	if err != nil {
		return hint.Add(fmt.Errorf("%s is not a machine's directory of ketch run: %w", m.path, err),
			"nothing in it was changed; ketch run keeps the machine's disk there: move it away, or run a copy of the image")
	}
	return nil
}

// stamp tells one state of the image from another.
func (m *machineDir) stamp() (string, error) {
	info, err := os.Stat(m.image)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes, %s\n", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

// machineDisk returns the machine's copy of the image, made anew where the image is
// another than the copy was made from.
func (o *runOptions) machineDisk(m *machineDir) (string, error) {
	stamp, err := m.stamp()
	if err != nil {
		return "", err
	}
	if old, err := os.ReadFile(m.file(madeFrom)); err == nil && string(old) == stamp && !o.fresh {
		return m.file(diskFile), o.sameSize(m.file(diskFile))
	}
	src, err := o.openImage(m.image)
	if err != nil {
		return "", err
	}
	defer src.Close()
	if err := m.claim(); err != nil {
		return "", err
	}
	return m.file(diskFile), m.replace(src, o.disk.Bytes, stamp)
}

// replace puts a copy of src in the place of the machine's disk. The old one stays
// until the copy is whole; whatever ends this early, the directory remains ours,
// and the next run starts over.
func (m *machineDir) replace(src *os.File, size int64, stamp string) error {
	if _, err := os.Lstat(m.file(madeFrom)); errors.Is(err, fs.ErrNotExist) {
		if err := output.WriteFile(m.file(madeFrom), []byte("nothing yet\n")); err != nil {
			return m.unwritable(err)
		}
	}
	if err := m.remove(newDisk); err != nil {
		return err
	}
	if err := qemu.CopyFile(m.file(newDisk), src, size); err != nil {
		return errors.Join(err, m.remove(newDisk))
	}
	if err := output.WriteFile(m.file(madeFrom), []byte("nothing yet\n")); err != nil {
		return err
	}
	if err := os.Rename(m.file(newDisk), m.file(diskFile)); err != nil {
		return err
	}
	for _, name := range outlived {
		if err := m.remove(name); err != nil {
			return err
		}
	}
	return output.WriteFile(m.file(madeFrom), []byte(stamp))
}

// remove removes one of the files, where it is there.
func (m *machineDir) remove(name string) error {
	if err := os.Remove(m.file(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sameSize refuses another size for a disk that a machine has used already.
func (o *runOptions) sameSize(disk string) error {
	info, err := os.Stat(disk)
	if err == nil && o.sized && o.disk.Bytes != info.Size() {
		has := cli.Size{Bytes: info.Size()}
		return hint.Add(fmt.Errorf("--disk-size %s: the machine's disk has %s", &o.disk, &has), "--fresh starts over with a new disk")
	}
	return err
}
