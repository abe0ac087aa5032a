// Package loader is what PID 1 asks of the boot loader: which entry to take next.
//
// There are two ways to ask. The name of an entry's file on the ESP says whether
// it is good, on trial, or out of tries (UAPI.1, "Boot counting"). And the EFI
// variable LoaderEntryOneShot names the entry of the next start, whatever its
// counter says (systemd.io/BOOT_LOADER_INTERFACE). Either may be out of reach: an
// ESP that cannot be written, firmware that keeps no variables.
//
// systemd-boot 252 identifies an entry by its file's name, counter and all, in
// small letters. It takes LoaderEntryOneShot away before it looks for the entry,
// and goes on in its usual order when there is none.
package loader

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/efivar"
	"github.com/ketch-os/ketch/linux/mount"
	"github.com/ketch-os/ketch/update/slot"
)

// Limit is how long an ESP or the firmware may take over what it is asked.
const Limit = 30 * time.Second

// mountPoint is where the ESP is mounted, for as long as the renaming takes.
const mountPoint = layout.RunDir + "/esp"

// Booted is the name of the booted entry's file; false where the loader does not tell.
func Booted(m *machine.Machine) (entry.Name, bool) {
	file := m.Entry
	if m.CountPath != "" { // it has a name with one try less by now
		file = path.Base(strings.ReplaceAll(m.CountPath, `\`, "/"))
	}
	name, err := entry.Parse(file)
	return name, err == nil
}

// Entries are the entries that the loader found at this start, in its order;
// none where it does not tell.
func Entries() ([]entry.Name, error) {
	files, err := efivar.LoaderList(efivar.LoaderEntries)
	if err != nil && !errors.Is(err, efivar.ErrNone) {
		return nil, err
	}
	return parse(files), nil
}

// parse leaves out what is no entry of Ketch.
func parse(files []string) (names []entry.Name) {
	for _, file := range files {
		if name, err := entry.Parse(file); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// Same compares IDs as the loader does.
func Same(a, b string) bool { return strings.EqualFold(a, b) }

// Ask makes an entry that of the next start, and of that one only.
func Ask(m *machine.Machine, next entry.Name) error {
	return step.Within(m, Limit, func() error {
		// The variable is a pattern to the loader; names have nothing special in them.
		return efivar.SetLoader(efivar.LoaderEntryOneShot, strings.ToLower(next.File()))
	})
}

// Rename gives the entries on the ESP the names that want returns for theirs.
func Rename(m *machine.Machine, want func(entry.Name) entry.Name) error {
	return step.Within(m, Limit, func() error { return mounted(m, want) })
}

func mounted(m *machine.Machine, want func(entry.Name) entry.Name) error {
	node, err := slot.Node(m.Disk, func(t *gpt.Table) int { return findESP(t, m.ESP) })
	if err != nil {
		return fmt.Errorf("find ESP: %w", err)
	}
	esp := mount.Mount{
		Source: node, Target: mountPoint, Type: "vfat",
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
	err = renameAll(filepath.Join(mountPoint, layout.ESPEntries), want)
	return errors.Join(err, mount.Unmount(mountPoint), os.Remove(mountPoint))
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
