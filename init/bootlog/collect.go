package bootlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/system"
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

// Collect moves the dumps that pstore holds to a directory each below to, and
// returns them, oldest first. A dump is on the medium before it leaves pstore;
// one that cannot be kept stays there.
func Collect(from, to string) ([]pid1.Crash, error) {
	dumps, err := pstore.Dumps(from)
	var crashes []pid1.Crash
	faults := []error{err}
	for _, d := range dumps {
		path := filepath.Join(to, name(d), Dump)
		text := d.Text[max(0, len(d.Text)-maxDump):]
		err := system.Replace(path, []byte(text), 0o600)
		if err == nil {
			err = d.Remove(from)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("keep dump of %s: %w", d.Time.UTC(), err))
			continue
		}
		crashes = append(crashes, pid1.Crash{Kind: d.Why, Time: d.Time.UTC(), Reason: reason(text), Path: path})
	}
	return crashes, errors.Join(append(faults, prune(to))...)
}

// name is the name of a crash's directory. Names sort by time.
func name(d pstore.Dump) string {
	return fmt.Sprintf("%s-%s-%d", d.Time.UTC().Format("20060102T150405Z"), strings.ToLower(d.Why), d.Count)
}

// prune removes the oldest crashes when there are more than keep.
func prune(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	faults := []error{err}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(b.Name(), a.Name()) })
	for _, old := range entries[min(keep, len(entries)):] {
		faults = append(faults, os.RemoveAll(filepath.Join(dir, old.Name())))
	}
	return errors.Join(faults...)
}

// telling are the beginnings of what says why a machine crashed, the one that
// tells most first: that PID 1 has ended is what the kernel says of any fault of
// PID 1, and not why.
func telling() []string {
	return []string{
		"PID 1 panic: ", "fatal error: ", "panic: ",
		"Kernel panic - not syncing: ", "BUG: ", "Oops: ", "sysrq: ",
	}
}

// reason finds the line of a dump that tells most: "<4>[   12.345678] TEXT". Go's
// runtime writes a line piece by piece, each of which is a line of the log: then
// the next one goes on where it ends.
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
