package bound

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEndLockers: who holds too many locks is ended and named, nobody else; and as
// long as the machine has few, nobody is looked at.
func TestEndLockers(t *testing.T) {
	line := func(n int) string {
		return strings.Repeat("lock:\t1: OFDLCK  ADVISORY  READ -1 00:26:131 0 0\n", n)
	}
	proc := t.TempDir()
	put(t, proc, map[string]string{
		"locks":      strings.Repeat("1: POSIX  ADVISORY  WRITE 7 fe:08:131 0 EOF\n", mostLocks),
		"7/fdinfo/0": "pos:\t0\n" + line(mostLocks/2), "7/fdinfo/1": line(mostLocks / 2), "8/fdinfo/3": line(1), "9/fdinfo/3": line(mostLocks),
	})
	dir := group(t, map[string]string{
		"many/cgroup.procs": "7\n8\n", "many/cgroup.kill": "", "few/cgroup.procs": "9\n10\n", "few/cgroup.kill": "",
	})
	m := &Meter{Group: dir, Now: func() time.Time { return time.Unix(1e9, 0) }}
	names := []string{"many", "few", "gone"}
	killed := func(name string) bool {
		text, err := os.ReadFile(filepath.Join(string(dir), name, "cgroup.kill"))
		return err == nil && string(text) == "1"
	}
	if err := m.EndLockers(proc, names); err != nil || killed("many") {
		t.Errorf("EndLockers on a machine with %d locks = %v, killed %v; want nobody looked at", mostLocks, err, killed("many"))
	}
	put(t, proc, map[string]string{"locks": strings.Repeat("x\n", mostLocks+1)})
	if err := m.EndLockers(proc, names); err != nil || !killed("many") || killed("few") {
		t.Errorf("EndLockers = %v, killed many: %v, few: %v; want many alone", err, killed("many"), killed("few"))
	}
	want := fmt.Sprintf("workload many: was ended 1 times: it held more than %d file locks", mostLocks)
	if got := m.Problems(names); len(got) != 1 || got[0] != want {
		t.Errorf("problems %q; want %q", got, want)
	}
	os.Remove(filepath.Join(string(dir), "many/cgroup.kill"))
	if err := m.EndLockers(proc, names); err == nil || !strings.Contains(err.Error(), "end workload many") {
		t.Errorf("EndLockers of one that cannot be ended = %v", err)
	}
	if err := m.EndLockers(t.TempDir(), names); err == nil {
		t.Error("EndLockers without /proc = nil; want an error")
	}
}

// TestLocksOfThreads: locks that no descriptor of the process's first thread shows are
// those of the process that took them; and when nobody took them who lives, that is told.
func TestLocksOfThreads(t *testing.T) {
	const by7, by9 = "1: POSIX  ADVISORY  WRITE 7 fe:08:131 0 EOF\n", "2: -> POSIX  ADVISORY  WRITE 9 fe:08:131 0 EOF\n"
	const hidden = "3: OFDLCK ADVISORY  READ -1 00:26:131 0 0\nshort\n"
	dir := group(t, map[string]string{
		"many/cgroup.procs": "7\n8\n", "many/cgroup.kill": "", "few/cgroup.procs": "9\n", "few/cgroup.kill": "",
	})
	m := &Meter{Group: dir, Now: func() time.Time { return time.Unix(1e9, 0) }}
	killed := func(name string) bool {
		text, err := os.ReadFile(filepath.Join(string(dir), name, "cgroup.kill"))
		return err == nil && string(text) == "1"
	}
	for _, test := range []struct {
		name, locks string
		many, few   bool
		says        string
	}{
		{"as many as they may", strings.Repeat(by7+by9, mostLocks), false, false, ""},
		{"hidden, not many", strings.Repeat(hidden, manyLocks/2), false, false, ""},
		{"hidden", strings.Repeat(hidden, manyLocks/2) + by7, false, false, "no workload is seen"},
		{"who waits", strings.Repeat(by9, mostLocks+1), false, true, ""},
		{"who holds", strings.Repeat(by7, mostLocks+1) + strings.Repeat(hidden, manyLocks), true, true, ""},
	} {
		proc := t.TempDir()
		put(t, proc, map[string]string{"locks": test.locks})
		err := m.EndLockers(proc, []string{"many", "few"})
		if killed("many") != test.many || killed("few") != test.few {
			t.Errorf("%s: killed many: %v, few: %v", test.name, killed("many"), killed("few"))
		}
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: EndLockers = %v; want %q", test.name, err, test.says)
		}
	}
}
