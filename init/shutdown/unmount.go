package shutdown

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/linux/dm"
	"github.com/ketch-os/ketch/linux/mount"
)

// unmountLimit is for one file system: one whose server is dead never returns.
const unmountLimit = 10 * time.Second

// unmountAll unmounts, last mounted first, everything but what PID 1 itself
// stands on. A file system can stay busy for a moment after its last process has
// died; one that stays so is made read-only, and its holders are named.
func unmountAll(m *machine.Machine) error {
	var left []busy
	waitFor(3*time.Second, func() bool {
		left = unmountOnce(m)
		return len(left) == 0
	})
	var errs []error
	for _, b := range left {
		err := fmt.Errorf("%w; held by %v", b.why, holders(os.DirFS("/proc"), b.target))
		errs = append(errs, err, step.Within(m, unmountLimit, func() error { return mount.Freeze(b.target) }))
	}
	return errors.Join(errs...)
}

// busy is a mount that could not be unmounted.
type busy struct {
	target string
	why    error
}

// unmountOnce tries each mount once and returns those that are left.
func unmountOnce(m *machine.Machine) (left []busy) {
	entries, err := mount.List()
	if err != nil {
		return []busy{{"/", err}}
	}
	for _, e := range slices.Backward(entries) {
		if stays(e.Target) {
			continue
		}
		err := step.Within(m, unmountLimit, func() error { return mount.Unmount(e.Target) })
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // gone with another
			left = append(left, busy{e.Target, err})
		}
	}
	return left
}

// stays tells the mounts that hold nothing that could be lost: PID 1's root and
// program, and the kernel's own.
func stays(target string) bool {
	if target == "/" || target == "/usr" || target == "/run" {
		return true
	}
	for _, top := range []string{"/proc", "/sys", "/dev"} {
		if target == top || strings.HasPrefix(target, top+"/") {
			return true
		}
	}
	return false
}

// holders names the processes with a file or directory open or mapped below a
// path, as "PID name", and loop devices and the like not at all.
func holders(proc fs.FS, path string) []string {
	var links []string
	for _, name := range []string{"cwd", "root", "exe", "fd/*", "map_files/*"} {
		more, _ := fs.Glob(proc, "[0-9]*/"+name)
		links = append(links, more...)
	}
	var names []string
	for _, link := range links {
		target, err := fs.ReadLink(proc, link)
		if err != nil || target != path && !strings.HasPrefix(target, path+"/") {
			continue
		}
		pid, _, _ := strings.Cut(link, "/")
		comm, _ := fs.ReadFile(proc, pid+"/comm")
		if name := pid + " " + strings.TrimSpace(string(comm)); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// removeDevices removes the device-mapper devices that nobody uses any more. The
// one below /usr stays: this program runs from it, and it is never written to.
func removeDevices() error {
	files, err := filepath.Glob("/sys/block/dm-*/dm/name")
	for _, file := range files {
		name, readErr := os.ReadFile(file)
		if readErr != nil {
			continue
		}
		removeErr := dm.Remove(strings.TrimSpace(string(name)))
		if !errors.Is(removeErr, unix.EBUSY) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
