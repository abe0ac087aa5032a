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

// sizes are the files of a directory and their lengths.
func sizes(t *testing.T, dir Dir) map[string]int64 {
	t.Helper()
	files, err := os.ReadDir(string(dir))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[file.Name()] = info.Size()
	}
	return all
}

func TestTrim(t *testing.T) {
	dir := Dir(t.TempDir())
	long := strings.Repeat("x", 100)
	for i, name := range []string{"a", "b", "c"} { // a's old log is the oldest
		write(t, dir, name, long)
		if err := dir.Rotate(name, 99); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(int64(1000+i), 0)
		os.Chtimes(filepath.Join(string(dir), name+".log.1"), when, when)
		write(t, dir, name, "0123456789")
	}
	for _, test := range []struct {
		total int64
		want  map[string]int64
	}{
		{330, map[string]int64{"a.log": 10, "a.log.1": 100, "b.log": 10, "b.log.1": 100, "c.log": 10, "c.log.1": 100}},
		{329, map[string]int64{"a.log": 10, "b.log": 10, "b.log.1": 100, "c.log": 10, "c.log.1": 100}},
		{130, map[string]int64{"a.log": 10, "b.log": 10, "c.log": 10, "c.log.1": 100}},
		{60, map[string]int64{"a.log": 10, "b.log": 10, "c.log": 10}},
	} {
		if err := dir.Trim(test.total); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, sizes(t, dir)); diff != "" {
			t.Errorf("Trim(%d) leaves (-want +got):\n%s", test.total, diff)
		}
	}
}

// TestTrimHolds: however many logs there are and however they have grown, the
// total holds after one look.
func TestTrimHolds(t *testing.T) {
	for _, count := range []int{1, 3, 40} {
		dir := Dir(t.TempDir())
		for i := range count {
			name := "log" + strings.Repeat("x", i+1)
			for range 3 {
				write(t, dir, name, strings.Repeat("y", 5000*(i%7+1)))
				if err := dir.Trim(20_000); err != nil {
					t.Fatal(err)
				}
				var sum int64
				for _, size := range sizes(t, dir) {
					sum += size
				}
				if sum > 20_000 {
					t.Fatalf("%d logs take %d bytes after Trim(20000)", i+1, sum)
				}
			}
		}
	}
	if err := Dir(t.TempDir() + "/none").Trim(1); err != nil {
		t.Errorf("Trim of no directory = %v", err)
	}
}

func TestLogs(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "b", "123456")
	if err := dir.Rotate("b", 5); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "b", "7")
	write(t, dir, "a", "1")
	os.WriteFile(filepath.Join(string(dir), "notes.txt"), nil, 0o644)
	os.Mkdir(filepath.Join(string(dir), "dir.log"), 0o755)
	got, err := dir.Logs()
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Modified = time.Time{}
	}
	if diff := cmp.Diff([]node.Log{{Name: "a", Bytes: 1}, {Name: "b", Bytes: 7, OldBytes: 6}}, got); diff != "" {
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
