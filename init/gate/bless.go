package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ketch/disk/gpt"
	"ketch/efi/entry"
	"ketch/init/machine"
	"ketch/init/slot"
	"ketch/layout"
	"ketch/linux/mount"
)

// mountPoint is where the ESP is mounted, for as long as the renaming takes.
const mountPoint = layout.RunDir + "/esp"

// Bless removes the counter from the name of the boot entry that was booted
// (UAPI.1, boot counting): from now on the boot loader takes it for good.
// A machine whose loader does not count has nothing to remove.
func Bless(m *machine.Machine) error {
	if m.CountPath == "" {
		return nil
	}
	if err := bless(m); err != nil {
		return fmt.Errorf("remove the counter of boot entry %s: %w", m.CountPath, err)
	}
	return nil
}

func bless(m *machine.Machine) error {
	node, err := slot.Node(m.Disk, func(t *gpt.Table) int { return findESP(t, m.ESP) })
	if err != nil {
		return fmt.Errorf("find ESP: %w", err)
	}
	esp := mount.Mount{
		Source: node, Target: mountPoint, Type: "vfat",
		Flags: mount.NoSUID | mount.NoDev | mount.NoExec | mount.NoSymFollow, Data: "umask=0077",
	}
	if err := esp.Do(); err != nil {
		return err
	}
	err = removeCounter(mountPoint, m.CountPath)
	return errors.Join(err, mount.Unmount(mountPoint), os.Remove(mountPoint))
}

// findESP returns the number of the partition that the boot loader came from, or,
// when it does not say, of the disk's ESP.
func findESP(table *gpt.Table, id string) int {
	if guid, err := gpt.ParseGUID(id); err == nil {
		return table.ByID(guid)
	}
	if numbers := table.ByType(gpt.MustParseGUID(layout.TypeESP)); len(numbers) > 0 {
		return numbers[0]
	}
	return 0
}

// removeCounter renames the entry at path, as the boot loader wrote it, on the ESP
// mounted at root. An entry that has its good name already is left alone: an
// earlier boot was cut short after the renaming.
func removeCounter(root, path string) error {
	name := filepath.Join(root, filepath.Clean("/"+strings.ReplaceAll(path, `\`, "/")))
	counted, err := entry.Parse(filepath.Base(name))
	if err != nil || !counted.Counted {
		return err
	}
	good := filepath.Join(filepath.Dir(name), counted.Good().File())
	err = os.Rename(name, good)
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Stat(good); missing == nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return flush(filepath.Dir(good))
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
