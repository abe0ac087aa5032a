package nstest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/linux/mount"
)

// controlGroup makes a control group for PID 1 below this process's own, and
// removes it with all that PID 1 has made in it. The group in between keeps
// controllers away: a group that hands some down may hold no process.
func controlGroup(t *testing.T) (fd int, path string) {
	t.Helper()
	own, err := ownGroup()
	testkit.Need(t, "a control group of version 2", err)
	outer, err := os.MkdirTemp(own, "ketch-nstest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeGroups(t, outer) })
	inner := filepath.Join(outer, "machine")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(inner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return int(f.Fd()), outer
}

// ownGroup is the directory of this process's group of version 2.
func ownGroup() (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	mounts, err := mount.List()
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(mounts, func(e mount.Entry) bool { return e.Type == "cgroup2" })
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok && at >= 0 {
			return filepath.Join(mounts[at].Target, path), nil
		}
	}
	return "", errors.New("this host has no control groups of version 2")
}

func removeGroups(t *testing.T, top string) {
	var dirs []string
	filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		// A group is busy until its last process has been collected.
		testkit.Eventually(t, "remove "+dir, func() bool { return os.Remove(dir) == nil })
	}
}
