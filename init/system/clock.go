package system

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// clockStamp is a file whose modification time is a time that this machine has
// seen.
const clockStamp = layout.StateDir + "/clock"

// Released returns when an image was released, from the image.json of its usr.
func Released(usr fs.FS) (time.Time, error) {
	info, _, err := release.ReadInfo(usr)
	if err != nil {
		return time.Time{}, fmt.Errorf("read release time: %w", err)
	}
	return info.Released, nil
}

// Stamped returns the last time that this machine noted, zero for none.
func Stamped() time.Time {
	info, err := os.Lstat(clockStamp)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// FloorClock sets the clock forward to floor if it is behind, and tells whether
// it did. The clock of a machine with an empty battery starts so early that no
// certificate would be valid yet.
func FloorClock(floor time.Time) (moved bool, err error) {
	if !time.Now().Before(floor) {
		return false, nil
	}
	to := unix.NsecToTimeval(floor.UnixNano())
	if err := unix.Settimeofday(&to); err != nil {
		return false, os.NewSyscallError("settimeofday", err)
	}
	return true, nil
}

// StampClock notes the present time for the next boot.
func StampClock() error {
	now := unix.NsecToTimespec(time.Now().UnixNano())
	err := unix.UtimesNanoAt(unix.AT_FDCWD, clockStamp, []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW)
	if os.IsNotExist(err) {
		if err = os.MkdirAll(filepath.Dir(clockStamp), 0o700); err == nil {
			err = makeEmpty(clockStamp)
		}
	}
	if err != nil {
		return fmt.Errorf("note the time: %w", err)
	}
	return nil
}

func makeEmpty(path string) error {
	f, err := plainfile.Open(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
