package bound

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ketch-os/ketch/linux/cgroup"
)

// mostLocks is how many file locks a workload may hold. The kernel charges them to
// nobody (Linux 6.1, fs/locks.c: their cache is not SLAB_ACCOUNT), and bounds them
// nowhere: RLIMIT_LOCKS is not enforced.
const mostLocks = 10_000

// manyLocks is how many there may be on the whole machine before that is told.
const manyLocks = 50_000

// EndLockers ends the workloads that hold more file locks than they may. It costs
// something only when the machine has as many. proc is /proc. Its error also tells of
// locks that nobody can be found for: those of an open file that no process has a
// descriptor of, or that was locked by a process that has ended.
func (m *Meter) EndLockers(proc string, names []string) error {
	byPID, total, err := lockers(filepath.Join(proc, "locks"))
	if err != nil || total <= mostLocks {
		return err
	}
	var faults []error
	ended := false
	for _, name := range names {
		group := cgroup.Group(filepath.Join(string(m.Group), name))
		if taken(byPID, group) <= mostLocks && locks(proc, group) <= mostLocks {
			continue
		}
		ended = true
		m.noteLocks(name)
		if err := group.Kill(); err != nil {
			faults = append(faults, fmt.Errorf("end workload %s, which holds more than %d file locks: %w", name, mostLocks, err))
		}
	}
	if !ended && total > manyLocks {
		faults = append(faults, fmt.Errorf("the machine has more than %d file locks, and no workload is seen to hold more than %d", manyLocks, mostLocks))
	}
	return errors.Join(faults...)
}

// lockers counts the lines of /proc/locks, in all and by the process that took the
// lock (proc(5)); who waits for one counts too. Whichever thread took it, it is the
// process's.
func lockers(path string) (byPID map[int]int, total int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	byPID = map[int]int{}
	lines := bufio.NewScanner(f)
	for ; lines.Scan(); total++ {
		fields := strings.Fields(strings.Replace(lines.Text(), "->", "", 1)) // marks who waits
		if len(fields) < 5 {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			byPID[pid]++
		}
	}
	return byPID, total, lines.Err()
}

// taken is how many locks the processes in a group have taken.
func taken(byPID map[int]int, group cgroup.Group) (count int) {
	for _, pid := range group.PIDs() {
		count += byPID[pid]
	}
	return count
}

// locks counts the locks on files that the processes in a group have open, a little
// over mostLocks at most: proc(5), fdinfo. It sees those that a process took which has
// ended. A file that two processes share counts twice.
func locks(proc string, group cgroup.Group) (count int) {
	for _, pid := range group.PIDs() {
		files, _ := filepath.Glob(fmt.Sprintf("%s/%d/fdinfo/*", proc, pid))
		for _, file := range files {
			lines, _ := countLocks(file) // 0 of one that has been closed
			if count += lines; count > mostLocks {
				return count
			}
		}
	}
	return count
}

// countLocks counts the locks in a file of fdinfo, a little over mostLocks at most.
func countLocks(path string) (count int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for count <= mostLocks && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "lock:") {
			count++
		}
	}
	return count, lines.Err()
}
