package bound

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/quota"
)

const mib = 1 << 20

// TestAll: the machine keeps what it needs, however small or large it is, and one
// workload leaves something to the others.
func TestAll(t *testing.T) {
	for _, test := range []struct {
		threads, memory int64
		all             Bounds
	}{
		{700, 115 * mib, Bounds{350, 115*mib - 115*mib/2}},
		{3448, 487 * mib, Bounds{2424, 391 * mib}},
		{120000, 16384 * mib, Bounds{118976, 14336 * mib}},
	} {
		all := All(test.threads, test.memory)
		if all != test.all {
			t.Errorf("All(%d, %d MiB) = %+v; want %+v", test.threads, test.memory/mib, all, test.all)
		}
		if each := all.Each(); each.PIDs <= 0 || each.PIDs >= all.PIDs || each.Memory <= 0 || each.Memory >= all.Memory {
			t.Errorf("Each of %+v = %+v", all, each)
		}
	}
	threads, memory, err := Machine("/proc")
	if err != nil || threads <= 0 || memory <= 0 {
		t.Errorf("Machine = %d, %d, %v", threads, memory, err)
	}
	if _, _, err := Machine(t.TempDir()); err == nil {
		t.Error("Machine of no /proc = nil; want an error")
	}
}

// group is a control group made of files, for what only reads and writes them.
func group(t *testing.T, content map[string]string) cgroup.Group {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, content)
	return cgroup.Group(dir)
}

func put(t *testing.T, dir string, content map[string]string) {
	t.Helper()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMake(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		"cgroup.controllers": "pids memory", "cgroup.subtree_control": "",
		"ketch/cgroup.controllers": "pids memory", "ketch/cgroup.subtree_control": "",
		"ketch/workloads/pids.max": "", "ketch/workloads/memory.max": "",
	})
	group, err := Make(root, "/ketch/workloads", Bounds{PIDs: 12, Memory: 34})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"pids.max": "12", "memory.max": "34", "../cgroup.subtree_control": "+pids +memory"} {
		if got, err := os.ReadFile(filepath.Join(string(group), file)); string(got) != want {
			t.Errorf("%s = %q, %v; want %q", file, got, err, want)
		}
	}
	if _, err := Make(t.TempDir(), "/ketch/workloads", Bounds{}); err == nil {
		t.Error("Make without controllers = nil; want an error")
	}
}

// TestMeter: what a workload has reached is told, over the end of its container,
// and forgotten in the end.
func TestMeter(t *testing.T) {
	now := time.Unix(1e9, 0)
	dir := group(t, map[string]string{
		"bomb/pids.events": "max 7\n", "bomb/memory.events": "low 0\noom 1\noom_kill 0\noom_group_kill 0\n",
		"good/pids.events": "max 0\n", "good/memory.events": "oom_kill 0\n",
	})
	m := &Meter{Group: dir, Now: func() time.Time { return now }}
	names := []string{"bomb", "good", "gone"}
	says := func(step string, want ...string) {
		t.Helper()
		got := m.Problems(names)
		if len(got) != len(want) {
			t.Fatalf("%s: problems %q; want %q", step, got, want)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: problem %q; want %q", step, got[i], want[i])
			}
		}
	}
	says("first", "workload bomb: was refused a process or thread 7 times")
	says("again", "workload bomb: was refused a process or thread 7 times")
	next := func(content map[string]string) { // the old group stays aside: its inode is not given to the new one
		t.Helper()
		if err := os.Rename(filepath.Join(string(dir), "bomb"), filepath.Join(t.TempDir(), "old")); err != nil {
			t.Fatal(err)
		}
		put(t, string(dir), content)
	}
	next(map[string]string{"bomb/pids.events": "max 2\n", "bomb/memory.events": "oom_kill 3\n"})
	says("another container", "workload bomb: had a process killed 3 times", "workload bomb: was refused a process or thread 9 times")
	next(map[string]string{"bomb/pids.events": "max 0\n", "bomb/memory.events": "oom_kill 3\n"})
	says("one that has counted as many", "workload bomb: had a process killed 6 times", "workload bomb: was refused a process or thread 9 times")
	os.RemoveAll(filepath.Join(string(dir), "bomb"))
	now = now.Add(remembered - 1)
	says("it is gone", "workload bomb: had a process killed 6 times", "workload bomb: was refused a process or thread 9 times")
	now = now.Add(1)
	says("long ago")
	for range flood {
		says("a log is cut now and then")
		m.LogCut("good")
		m.LogCut("kernel")
	}
	says("a flood", "workload good: writes so much that its log was cut 3 times")
}

// TestPart: however many there are and whatever they have, all that they may take
// leaves what is kept.
func TestPart(t *testing.T) {
	const total = 1000
	for n := int64(1); n < 9; n++ {
		for free := int64(0); free <= total; free += 50 {
			has := (total - free) / n
			more := int64(0)
			for range n {
				limit := part(has, total, free, n)
				if limit <= 0 {
					t.Fatalf("part(%d, %d, %d, %d) = %d: no limit", has, total, free, n, limit)
				}
				more += max(limit-has, 0)
			}
			if left := free - more; left < min(free, total*keepPercent/100)-n {
				t.Errorf("%d workloads with %d each of %d leave %d", n, has, total, left)
			}
		}
	}
	if alone := part(0, total, total, 1); alone > total*8/10*mostPercent/100 {
		t.Errorf("one alone may have %d of %d; want something left for the others", alone, total)
	}
}

func TestFull(t *testing.T) {
	got := slices.Concat(
		full("a", quota.Use{Bytes: 99 * mib, BytesLimit: 100 * mib, Inodes: 1, InodesLimit: 1000}),
		full("b", quota.Use{Bytes: 10 * mib, BytesLimit: 100 * mib, Inodes: 1000, InodesLimit: 1000}),
		full("c", quota.Use{Bytes: 10 * mib, BytesLimit: 100 * mib, Inodes: 10, InodesLimit: 1000}),
		full("d", quota.Use{Bytes: 10 * mib, Inodes: 10}),
		space{100, 15, 100, 16}.problems("/x"), space{100, 16, 100, 15}.problems("/y"), space{100, 16, 0, 0}.problems("/z"))
	want := []string{
		"workload a: its writable layer has 99 MiB and may have no more", "workload b: its writable layer has 1000 files and may have no more",
		"/x is full to 85 %", "/y: 85 % of all inodes are in use",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestRoom(t *testing.T) {
	room := Room{Percent: 5, Bytes: 200, Inodes: 100}
	for _, test := range []struct {
		space space
		want  bool
	}{
		{space{1000, 50, 1000, 50}, true},
		{space{1000, 49, 1000, 50}, false},
		{space{1000, 50, 1000, 49}, false},
		{space{1e6, 200, 1e6, 100}, true}, // of a large one, not five percent
		{space{1e6, 199, 1e6, 100}, false},
		{space{1e6, 200, 1e6, 99}, false},
		{space{1000, 50, 0, 0}, true}, // inodes that nobody counts
	} {
		if got := test.space.has(room); got != test.want {
			t.Errorf("%+v has %+v: %v; want %v", test.space, room, got, test.want)
		}
	}
	if !(&Disk{Path: t.TempDir() + "/none"}).Has(room) {
		t.Error("what cannot be asked has no room")
	}
}

func TestDiskWithoutQuotas(t *testing.T) {
	d := &Disk{Path: t.TempDir()}
	d.Bound("x", d.Path+"/no-number")
	if problems := strings.Join(d.Problems(), "\n"); !strings.Contains(problems, "workload x") || !strings.Contains(problems, "no snapshot") {
		t.Errorf("problems of what is no snapshot: %q", problems)
	}
	d = &Disk{Path: "/proc"}
	d.faults = map[string]error{"a": quota.ErrNone, "b": quota.ErrNone}
	if problems := strings.Join(d.Problems(), "\n"); strings.Count(problems, "without project quotas") != 1 {
		t.Errorf("problems without quotas: %q; want them told once", problems)
	}
	if err := d.Share(); err != nil {
		t.Errorf("Share of nothing = %v", err)
	}
	if problems := (&Disk{Path: d.Path + "/none"}).Problems(); len(problems) != 1 {
		t.Errorf("problems of no file system: %q; want one", problems)
	}
}
