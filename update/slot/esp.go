package slot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/mount"
)

// mountPoint is where this process mounts the ESP: PID 1 and an update may do so
// at the same time.
func mountPoint() string { return fmt.Sprintf("%s/esp-%d", layout.RunDir, os.Getpid()) }

// ESP is the EFI system partition of a running machine.
type ESP struct {
	Disk string // the disk that it lies on: "vda"
	ID   string // its unique GUID; empty: the disk's only one. LoaderDevicePartUUID tells it as it was before a first boot gave it another
}

// Rename gives the boot entries the names that want returns for theirs.
func (e ESP) Rename(want func(entry.Name) entry.Name) error {
	return e.mounted(func(dir string) error { return renameAll(filepath.Join(dir, layout.ESPEntries), want) })
}

// mounted does something to the ESP, which is mounted for as long as that takes.
func (e ESP) mounted(do func(dir string) error) error {
	node, err := Node(e.Disk, func(t *gpt.Table) int { return findESP(t, e.ID) })
	if err != nil {
		return fmt.Errorf("find ESP: %w", err)
	}
	dir := mountPoint()
	esp := mount.Mount{
		Source: node, Target: dir, Type: "vfat",
		// vfat's rename writes the new directory entry first without the file's
		// cluster and size, and those when it writes the inode. With DirSync that is
		// before the directory is flushed: a power cut in between would leave a
		// kernel image of no bytes.
		Flags: mount.NoSUID | mount.NoDev | mount.NoExec | mount.NoSymFollow | mount.DirSync,
		Data:  "umask=0077",
	}
	if err := esp.Do(); err != nil {
		return err
	}
	err = do(dir)
	return errors.Join(err, mount.Unmount(dir), os.Remove(dir))
}

// findESP returns the number of the partition that the boot loader came from. When
// the loader does not tell, it is the number of the disk's ESP.
func findESP(table *gpt.Table, id string) int {
	if guid, err := gpt.ParseGUID(id); err == nil {
		return table.ByID(guid)
	}
	if numbers := table.ByType(gpt.MustParseGUID(layout.TypeESP)); len(numbers) > 0 {
		return numbers[0]
	}
	return 0
}

// renameAll renames entries in a directory. One that cannot be renamed does not
// stop the others.
func renameAll(dir string, want func(entry.Name) entry.Name) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var faults []error
	for _, file := range files {
		name, err := entry.Parse(file.Name())
		if err != nil {
			continue
		}
		if to := want(name).File(); to != file.Name() {
			faults = append(faults, rename(filepath.Join(dir, file.Name()), filepath.Join(dir, to)))
		}
	}
	return errors.Join(append(faults, flush(dir))...)
}

// rename renames an entry, but never over another: after a power cut in the midst
// of a renaming both names may lead to the same clusters, and to replace one would
// free what the other still needs. Both stay then, and either can be booted.
func rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// flush waits until the file system of dir is on the medium.
func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return err
	}
	return os.NewSyscallError("syncfs", unix.Syncfs(int(d.Fd())))
}
