package bootlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/linux/pstore"
)

const (
	// keep is how many crashes are kept; the oldest make room.
	keep = 10
	// maxDump is how much of a dump is kept, in bytes: its end, the newest lines.
	maxDump = 256 << 10
	// Dump is the name of the dump in the directory of its crash.
	Dump = "dmesg.txt"
)

// Collect moves the dumps that pstore holds to a directory each below to, whose
// parent exists, and returns them, oldest first. A dump is on the medium before it leaves pstore;
// one that cannot be kept stays there.
func Collect(from, to string) ([]pid1.Crash, error) {
	dumps, err := pstore.Dumps(from)
	var crashes []pid1.Crash
	faults := []error{err}
	root, err := below(to)
	if err != nil {
		return nil, errors.Join(append(faults, err)...)
	}
	defer root.Close()
	for _, d := range dumps {
		text := d.Text[max(0, len(d.Text)-maxDump):]
		err := keepDump(root, name(d), text)
		if err == nil {
			err = d.Remove(from)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("keep dump of %s: %w", d.Time.UTC(), err))
			continue
		}
		path := filepath.Join(to, name(d), Dump)
		crashes = append(crashes, pid1.Crash{Kind: d.Why, Time: d.Time.UTC(), Reason: reason(text), Path: path})
	}
	return crashes, errors.Join(append(faults, prune(root))...)
}

// below opens a directory, and makes it where it is missing. No symbolic link, in
// its place or below it, leads out of its parent.
func below(dir string) (*os.Root, error) {
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := parent.MkdirAll(filepath.Base(dir), 0o755); err != nil {
		return nil, err
	}
	return parent.OpenRoot(filepath.Base(dir))
}

// keepDump writes a dump to a directory of its own, and waits until it is on the
// medium. The records stay in pstore until then: a dump that a power cut shortens
// is written again at the next boot.
func keepDump(root *os.Root, crash, text string) error {
	if _, err := plainfile.Name(crash); err != nil {
		return err
	}
	if err := root.MkdirAll(crash, 0o755); err != nil {
		return err
	}
	f, err := plainfile.OpenIn(root, filepath.Join(crash, Dump), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	dir := filepath.Join(root.Name(), crash)
	return errors.Join(atomicfile.SyncDir(dir), atomicfile.SyncDir(filepath.Dir(dir)))
}

// name is the name of a crash's directory. Names sort by time.
func name(d pstore.Dump) string {
	return fmt.Sprintf("%s-%s-%d", d.Time.UTC().Format("20060102T150405Z"), strings.ToLower(d.Why), d.Count)
}

// prune removes the oldest crashes when there are more than keep.
func prune(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	faults := []error{err}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(b.Name(), a.Name()) })
	for _, old := range entries[min(keep, len(entries)):] {
		faults = append(faults, root.RemoveAll(old.Name()))
	}
	return errors.Join(faults...)
}

// telling are the beginnings of the words that say why a machine crashed, the
// most telling first. PID 1's own come before the kernel's, which after any fault
// of PID 1 only says that PID 1 has ended.
func telling() []string {
	return []string{
		"PID 1 panic: ", "fatal error: ", "panic: ",
		"Kernel panic - not syncing: ", "BUG: ", "Oops: ", "sysrq: ",
	}
}

// reason finds the line of a dump that tells most: "<4>[   12.345678] TEXT". Go's
// runtime writes a line in pieces, and each is a line of the log: where nothing
// follows a beginning, the next line does.
func reason(text string) string {
	lines := strings.Split(text, "\n")
	for _, begin := range telling() {
		for i, line := range lines {
			_, after, ok := strings.Cut(line, begin)
			if !ok {
				continue
			}
			if strings.TrimSpace(after) == "" && i+1 < len(lines) {
				_, after, _ = strings.Cut(lines[i+1], "] ")
			}
			return begin + strings.TrimSpace(after)
		}
	}
	return ""
}
