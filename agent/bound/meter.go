package bound

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/cgroup"
)

// remembered is how long a workload is named after it last reached a bound.
const remembered = 10 * time.Minute

// counter is one count of events in a control group (cgroup-v2.rst).
type counter struct{ file, key, says string }

// counters are those that tell of a bound that was reached. A fork that is refused
// counts for the group that asked, whosever bound it was; a kill for the group of
// the process that was killed.
var counters = [...]counter{
	{"pids.events", "max", "was refused a process or thread %d times: it, or all workloads, have as many as they may"},
	{"memory.events", "oom_kill", "had a process killed %d times: it, or all workloads, have as much memory as they may"},
}

// reached is what is known of one counter of one workload.
type reached struct {
	group uint64 // the control group that was looked at last, by its inode
	seen  int64  // in that control group
	total int64  // in all that it has had
	last  time.Time
}

// Meter knows which workloads have reached a bound. It outlives their containers.
type Meter struct {
	Group cgroup.Group // of all workloads
	Now   func() time.Time

	mu    sync.Mutex
	of    map[string]*[len(counters)]reached
	logs  tally // logs that were cut
	locks tally // containers that were ended for their file locks
}

// tally counts what has happened, by workload.
type tally map[string]*reached

func (t *tally) add(name string, now time.Time) {
	if *t == nil {
		*t = tally{}
	}
	if (*t)[name] == nil {
		(*t)[name] = new(reached)
	}
	r := (*t)[name]
	r.note(r.group, r.seen+1, now)
}

// Look notes what the control group of a workload has counted. It is to be called
// from time to time, and before the group goes.
func (m *Meter) Look(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = map[string]*[len(counters)]reached{}
	}
	if m.of[name] == nil {
		m.of[name] = new([len(counters)]reached)
	}
	dir := filepath.Join(string(m.Group), name)
	group, err := inode(dir)
	if err != nil {
		return // it has no container now
	}
	for i, c := range counters {
		text, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			continue
		}
		m.of[name][i].note(group, count(string(text), c.key), m.Now())
	}
}

// inode tells a control group from all others there have been: the kernel gives no
// number twice.
func inode(dir string) (uint64, error) {
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		return 0, err
	}
	return s.Ino, nil
}

// note takes a count. Each control group counts from nothing: one that has counted as
// many as the one before it has counted them anew.
func (r *reached) note(group uint64, n int64, now time.Time) {
	if group != r.group {
		r.group, r.seen = group, 0
	}
	if n > r.seen {
		r.total, r.last = r.total+n-r.seen, now
	}
	r.seen = n
}

// count finds a number in lines as "max 12".
func count(text, key string) int64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// LogCut notes that the log of a workload was too large.
func (m *Meter) LogCut(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logs.add(name, m.Now())
}

func (m *Meter) noteLocks(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locks.add(name, m.Now())
}

// flood is how many times a log must have been cut before that is reported.
const flood = 3

// Problems looks at workloads and says which of them has reached a bound of late.
func (m *Meter) Problems(names []string) (problems []string) {
	for _, name := range names {
		m.Look(name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	late := func(r *reached) bool { return r.total > 0 && m.Now().Sub(r.last) < remembered }
	for name, of := range m.of {
		for i, c := range counters {
			if late(&of[i]) {
				problems = append(problems, fmt.Sprintf("workload %s: "+c.says, name, of[i].total))
			}
		}
	}
	for name, r := range m.logs {
		if late(r) && r.total >= flood && slices.Contains(names, name) {
			problems = append(problems, fmt.Sprintf("workload %s: writes so much that its log was cut %d times", name, r.total))
		}
	}
	for name, r := range m.locks {
		if late(r) {
			problems = append(problems, fmt.Sprintf("workload %s: was ended %d times: it held more than %d file locks", name, r.total, mostLocks))
		}
	}
	slices.Sort(problems)
	return problems
}
