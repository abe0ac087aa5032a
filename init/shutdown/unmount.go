package shutdown

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/linux/dm"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/mount"
)

// busyWait is how long a file system may stay busy after its last process has died.
const busyWait = 3 * time.Second

// mounts is what the kernel does to mounts.
type mounts struct {
	list            func() ([]mount.Entry, error)
	unmount, freeze func(target string) error
}

// unmounting is the work of unmountAll. A call on a file system whose server is
// dead never returns: it is left behind, and its mount is not tried again.
type unmounting struct {
	mounts
	log  *kmsg.Log
	hung []hung
}

// hung is a call that has not returned in its time.
type hung struct {
	target string
	done   <-chan error
}

// unmountAll unmounts, last mounted first, everything but what PID 1 itself
// stands on. What stays busy is made read-only, and its holders are named. All
// file systems together have one time, of which each gets an equal share of what
// is left: any number of dead ones cannot use it up before a healthy one's turn.
func unmountAll(log *kmsg.Log, h host) error {
	u := &unmounting{mounts: h.mounts, log: log}
	began := time.Now()
	left := u.pass(began.Add(unmountWait))
	for len(left) > 0 && time.Since(began) < busyWait {
		time.Sleep(10 * time.Millisecond)
		left = u.pass(began.Add(unmountWait))
	}
	if over := began.Add(unmountWait + hangWait); u.await(over) {
		left = u.pass(over)
	}
	return errors.Join(append(u.freezeAll(left, h.proc), u.dead()...)...)
}

// busy is a mount that could not be unmounted.
type busy struct {
	target string
	why    error
}

// pass tries each mount once and returns those that are left.
func (u *unmounting) pass(deadline time.Time) (left []busy) {
	entries, err := u.list()
	if err != nil {
		return []busy{{"/", err}}
	}
	entries = slices.DeleteFunc(entries, func(e mount.Entry) bool { return stays(e.Target) || u.hangs(e.Target) })
	slices.Reverse(entries)
	for i, e := range entries {
		err := u.try(deadline, len(entries)-i, e.Target, u.unmount)
		if err != nil && !errors.Is(err, errHangs) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // gone with another
			left = append(left, busy{e.Target, err})
		}
	}
	return left
}

var errHangs = errors.New("it hangs in the kernel")

// try calls do, and waits for an equal share of the time that is left for so many.
func (u *unmounting) try(deadline time.Time, many int, target string, do func(string) error) error {
	done := make(chan error, 1)
	crash.Go(u.log, func() { done <- do(target) })
	select {
	case err := <-done:
		return err
	case <-time.After(time.Until(deadline) / time.Duration(many)):
		u.hung = append(u.hung, hung{target, done})
		return errHangs
	}
}

func (u *unmounting) hangs(target string) bool {
	return slices.ContainsFunc(u.hung, func(h hung) bool { return h.target == target })
}

// await waits for the calls that hang, all together; it tells whether any has
// returned.
func (u *unmounting) await(deadline time.Time) (any bool) {
	over, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	before := len(u.hung)
	u.hung = slices.DeleteFunc(u.hung, func(h hung) bool { return h.returned(over.Done()) })
	return len(u.hung) < before
}

// returned waits until a call has returned or the time is over, and tells which.
func (h hung) returned(over <-chan struct{}) bool {
	select {
	case <-h.done:
		return true
	case <-over:
	}
	select {
	case <-h.done: // both may be
		return true
	default:
		return false
	}
}

// freezeAll makes what is left read-only, and says who holds it.
func (u *unmounting) freezeAll(left []busy, proc fs.FS) (errs []error) {
	deadline := time.Now().Add(freezeWait)
	for i, b := range left {
		errs = append(errs, fmt.Errorf("%w; held by %v", b.why, holders(proc, b.target)), u.try(deadline, len(left)-i, b.target, u.freeze))
	}
	return errs
}

// dead names the mounts on which a call still hangs.
func (u *unmounting) dead() (errs []error) {
	for _, h := range u.hung {
		errs = append(errs, fmt.Errorf("unmount %s: %w", h.target, errHangs))
	}
	return errs
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

// holders names the processes that have a file or directory below a path open or
// mapped, as "PID name". It does not find other holders, such as loop devices.
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
