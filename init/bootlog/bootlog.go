// Package bootlog lets a boot tell the next one how it went: a file that PID 1
// changes at the turns of a boot's life, and the kernel's last words, which pstore
// keeps over a crash. A boot whose file says nothing of its end was cut off.
package bootlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/init/timeline"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/pstore"
)

// Start begins the account of this boot; the account of the last one becomes the
// previous. It moves the last words that pstore holds to /var. Where /var is in
// memory they stay in pstore for the next boot.
func Start(m *machine.Machine) error {
	lost, err := inMemory(layout.StateDir)
	if err != nil || lost {
		return err
	}
	crashes, err := Collect(pstore.Dir, layout.CrashDir)
	return errors.Join(err, Note(m, func(r *pid1.Run) {
		r.Crashes, r.Failure, r.WatchdogReset = crashes, failure(m), watchdogReset(os.DirFS("/sys"))
	}))
}

// failure is the latest failure in the boot record, of whichever version. The
// present start has not failed yet.
func failure(m *machine.Machine) *pid1.Failure {
	known := []bootrecord.Version{}
	if m.Before != nil {
		known = append(known, *m.Before)
	}
	if record := m.Record(); record != nil && len(record.Versions) > 1 {
		known = append(known, record.Versions[1:]...)
	}
	var last *pid1.Failure
	for _, v := range known {
		at := time.Unix(v.FailTime, 0).UTC()
		if v.FailTime != 0 && (last == nil || at.After(last.Time)) {
			last = &pid1.Failure{Version: v.Name, Time: at, Words: v.Words}
		}
	}
	return last
}

// Down notes that the way down has begun, why, and, with a fault, that PID 1 gave up.
func Down(m *machine.Machine, request string, fault error) error {
	return Note(m, func(r *pid1.Run) {
		r.Request = request
		if fault != nil {
			r.Fatal = fault.Error()
		}
	})
}

// Ended notes that the way down is about to unmount the file that this is in.
func Ended(m *machine.Machine) error {
	return Note(m, func(r *pid1.Run) {
		now := time.Now().UTC()
		r.Ended = &now
	})
}

// Note changes the account of this boot, and brings its timeline up to date.
func Note(m *machine.Machine, change func(*pid1.Run)) error {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		err = note(filepath.Dir(layout.CurrentRun), fresh(m, strings.TrimSpace(string(id))), func(r *pid1.Run) {
			r.Boot = m.Timeline.Boot()
			change(r)
		})
	}
	if err != nil {
		return fmt.Errorf("note this boot for the next: %w", err)
	}
	return nil
}

// fresh is the account of a boot of which nothing has been noted yet.
func fresh(m *machine.Machine, bootID string) pid1.Run {
	return pid1.Run{
		BootID: bootID, Version: m.Version, RootHash: m.RootHash, Entry: m.Entry,
		Started: time.Now().Add(-timeline.Now()).UTC().Truncate(time.Millisecond),
	}
}

// maxRun bounds an account, in bytes: far more than its steps, checks and crashes
// take, of which each has a line of reason.
const maxRun = 1 << 20

// note changes the account in dir. The account of another boot becomes the
// previous one first. Any note may be the first of a boot.
func note(dir string, run pid1.Run, change func(*pid1.Run)) error {
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(dir, current())
	text, err := plainfile.Read(path, maxRun)
	switch found, ours := decode(text); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil && !errors.Is(err, plainfile.ErrTooLarge):
		return err
	case err == nil && ours == nil && found.BootID == run.BootID:
		run = found
	default: // one that cannot be read belongs to the last boot, too
		if err := os.Rename(path, filepath.Join(dir, previous())); err != nil {
			return err
		}
	}
	change(&run)
	if text, err = json.MarshalIndent(run, "", "\t"); err != nil {
		return err
	}
	return system.Replace(path, append(text, '\n'), 0o644)
}

// current and previous are the names of the files in dir.
func current() string  { return filepath.Base(layout.CurrentRun) }
func previous() string { return filepath.Base(layout.PreviousRun) }

func decode(text []byte) (run pid1.Run, err error) {
	err = json.Unmarshal(text, &run)
	return run, err
}

// lock keeps two goroutines from changing the account at once: the way down may
// begin while the gate decides.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		d.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return func() { d.Close() }, nil
}

// inMemory tells whether what is written below path is gone at the next boot.
func inMemory(path string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return false, os.NewSyscallError("statfs "+path, err)
	}
	return fs.Type == unix.TMPFS_MAGIC, nil
}

// watchdogReset tells whether a watchdog says that it has reset the machine:
// WDIOF_CARDRESET in its bootstatus (Documentation/watchdog/watchdog-api.rst).
func watchdogReset(sys fs.FS) bool {
	files, _ := fs.Glob(sys, "class/watchdog/*/bootstatus")
	for _, file := range files {
		var bits int
		text, _ := fs.ReadFile(sys, file)
		if _, err := fmt.Sscan(string(text), &bits); err == nil && bits&unix.WDIOF_CARDRESET != 0 {
			return true
		}
	}
	return false
}
