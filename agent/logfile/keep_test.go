package logfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/node"
)

// block is a whole number of any file system's blocks.
const block = 64 << 10

// held are the logs of a directory and how many bytes they hold.
func held(t *testing.T, dir Dir) map[string]int64 {
	t.Helper()
	logs, err := dir.Logs()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for _, l := range logs {
		all[l.Name] = l.Bytes
	}
	return all
}

func TestTrimAll(t *testing.T) {
	dir := Dir(t.TempDir())
	for name, blocks := range map[string]int{"a": 8, "b": 4, "c": 1} {
		write(t, dir, name, strings.Repeat("x", blocks*block))
	}
	for _, test := range []struct {
		total   int64
		trimmed bool
		want    map[string]int64
	}{
		{24 * block, false, map[string]int64{"a": 8 * block, "b": 4 * block, "c": block}},
		{12 * block, true, map[string]int64{"a": 2 * block, "b": 4 * block, "c": block}},
		{12 * block, false, map[string]int64{"a": 2 * block, "b": 4 * block, "c": block}},
		{6 * block, true, map[string]int64{"a": 2 * block, "b": block, "c": block}},
	} {
		trimmed, err := dir.TrimAll(test.total)
		if (len(trimmed) > 0) != test.trimmed || err != nil {
			t.Errorf("TrimAll(%d) = %v, %v; want %v", test.total, trimmed, err, test.trimmed)
		}
		if diff := cmp.Diff(test.want, held(t, dir)); diff != "" {
			t.Errorf("TrimAll(%d) leaves (-want +got):\n%s", test.total, diff)
		}
	}
}

// TestTrimAllHolds: however many logs there are and however they have grown, the
// total holds after one look, on the disk, too.
func TestTrimAllHolds(t *testing.T) {
	const total = 40 * block
	for _, count := range []int{1, 3, 40} {
		dir := Dir(t.TempDir())
		for i := range count {
			name := "log" + strings.Repeat("x", i+1)
			for range 3 {
				write(t, dir, name, strings.Repeat("y", block/2*(i%7+1)))
				if _, err := dir.TrimAll(total); err != nil {
					t.Fatal(err)
				}
				var sum int64
				for _, bytes := range held(t, dir) {
					sum += bytes
				}
				if sum > total {
					t.Fatalf("%d logs hold %d bytes after TrimAll(%d)", i+1, sum, total)
				}
			}
		}
	}
	if _, err := Dir(t.TempDir() + "/none").TrimAll(1); err != nil {
		t.Errorf("TrimAll of no directory = %v", err)
	}
}

// TestTrimAllRemovesOld: earlier versions of the OS left files beside the logs.
func TestTrimAllRemovesOld(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "a", "1")
	old := filepath.Join(string(dir), "a.log.1")
	if err := os.Symlink("a.log", old); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.TrimAll(block); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(old); err == nil || held(t, dir)["a"] != 1 {
		t.Errorf("a.log.1: %v, and a.log holds %d bytes; want it gone, and the log kept", err, held(t, dir)["a"])
	}
}

func TestLogs(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "b", strings.Repeat("x", 3*block))
	if _, err := dir.Trim("b", 2*block); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a", "1")
	write(t, dir, "empty", "")
	os.WriteFile(filepath.Join(string(dir), "notes.txt"), nil, 0o644)
	os.Mkdir(filepath.Join(string(dir), "dir.log"), 0o755)
	os.Symlink("a.log", filepath.Join(string(dir), "link.log"))
	got, err := dir.Logs()
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Modified = time.Time{}
	}
	if diff := cmp.Diff([]node.Log{{Name: "a", Bytes: 1}, {Name: "b", Bytes: block}, {Name: "empty"}}, got); diff != "" {
		t.Errorf("Logs (-want +got):\n%s", diff)
	}
}

func TestTotal(t *testing.T) {
	total, err := Dir(t.TempDir()).Total()
	if err != nil || total <= 0 || total > maxTotal {
		t.Errorf("Total = %d, %v; want at most %d", total, err, maxTotal)
	}
	if _, err := Dir(t.TempDir() + "/none").Total(); err == nil {
		t.Error("Total of no directory = nil; want an error")
	}
}
