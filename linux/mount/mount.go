// Package mount mounts file systems from a table, reads the table of those that
// are mounted (proc_pid_mountinfo(5)) and unmounts them.
package mount

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The flags of Mount.Flags, for tables that read well.
const (
	ReadOnly = unix.MS_RDONLY
	NoSUID   = unix.MS_NOSUID
	NoDev    = unix.MS_NODEV
	NoExec   = unix.MS_NOEXEC
	// DirSync: a change of a directory is on the medium when its call returns.
	DirSync = unix.MS_DIRSYNC
	// NoSymFollow (Linux 5.10): symbolic links on it are not followed.
	NoSymFollow = 0x100
)

// Mount is one file system to mount.
type Mount struct {
	Source string
	Target string // made when missing, with mode 0755
	Type   string
	Flags  uintptr
	Data   string // the file system's own options
	// Optional: a kernel, firmware or hypervisor may lack it; see All.
	Optional bool
}

// Do mounts one file system.
func (m Mount) Do() error {
	err := os.MkdirAll(m.Target, 0o755)
	if err == nil {
		err = unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data)
	}
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.Type, m.Target, err)
	}
	return nil
}

// All mounts a table in order. It stops at the first error of a mount that is
// not optional; the errors of optional ones go to skipped.
func All(table []Mount, skipped func(error)) error {
	for _, m := range table {
		err := m.Do()
		if err != nil && !m.Optional {
			return err
		}
		if err != nil {
			skipped(err)
		}
	}
	return nil
}

// Move moves a mount to another place.
func Move(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move mount %s to %s: %w", from, to, err)
	}
	return nil
}

// Share makes the mount at path and all below it propagate to and from the
// mount namespaces made later: containers see what is mounted after they start.
func Share(path string) error {
	if err := unix.Mount("", path, "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts below %s: %w", path, err)
	}
	return nil
}

// Unmount unmounts what is mounted at path; it does not follow a link there.
func Unmount(path string) error {
	if err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// Freeze makes a mounted file system read-only: what is left to do for one that
// is busy and cannot be unmounted.
func Freeze(path string) error {
	if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

// Entry is one line of /proc/self/mountinfo.
type Entry struct {
	ID, Parent   int
	Major, Minor uint32
	Root         string // of the mount within its file system
	Target       string
	Options      string
	Type         string
	Source       string
}

// List returns what is mounted, in the order it was mounted.
func List() ([]Entry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f)
}

// parse reads mountinfo lines: ID parent major:minor root target options
// [optional fields…] - type source super-options.
func parse(r io.Reader) ([]Entry, error) {
	var entries []Entry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		entry, err := parseLine(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read mountinfo line %q: %w", lines.Text(), err)
		}
		entries = append(entries, entry)
	}
	return entries, lines.Err()
}

func parseLine(line string) (e Entry, err error) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 1 {
		return e, fmt.Errorf("%d fields before the dash and %d after it", len(left), len(right))
	}
	major, minor, _ := strings.Cut(left[2], ":")
	var numbers [4]int
	for i, field := range []string{left[0], left[1], major, minor} {
		if numbers[i], err = strconv.Atoi(field); err != nil {
			return e, err
		}
	}
	e.ID, e.Parent, e.Major, e.Minor = numbers[0], numbers[1], uint32(numbers[2]), uint32(numbers[3])
	e.Root, e.Target, e.Options = unescape(left[3]), unescape(left[4]), left[5]
	e.Type = unescape(right[0])
	if len(right) > 1 { // a source may be the empty string
		e.Source = unescape(right[1])
	}
	return e, nil
}

// unescape undoes the kernel's \ooo for space, tab, newline, backslash and #.
func unescape(field string) string {
	if !strings.Contains(field, `\`) {
		return field
	}
	var out strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+4 <= len(field) {
			if c, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		out.WriteByte(field[i])
	}
	return out.String()
}
