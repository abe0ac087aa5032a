package bound

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ketch-os/ketch/linux/cgroup"
)

// mostLocks is how many file locks a workload may hold. The kernel charges them to
// nobody (Linux 6.1, fs/locks.c: their cache is not SLAB_ACCOUNT), and bounds them
// nowhere: RLIMIT_LOCKS is not enforced.
const mostLocks = 10_000

// EndLockers ends the workloads that hold more file locks than they may. It costs
// something only when the machine has as many. proc is /proc.
func (m *Meter) EndLockers(proc string, names []string) error {
	if lines, err := countLines(filepath.Join(proc, "locks"), ""); err != nil || lines <= mostLocks {
		return err
	}
	var faults []error
	for _, name := range names {
		group := cgroup.Group(filepath.Join(string(m.Group), name))
		if locks(proc, group) <= mostLocks {
			continue
		}
		m.noteLocks(name)
		if err := group.Kill(); err != nil {
			faults = append(faults, fmt.Errorf("end workload %s, which holds more than %d file locks: %w", name, mostLocks, err))
		}
	}
	return errors.Join(faults...)
}

// locks counts the locks of the processes in a group, a little over mostLocks at
// most: proc(5), fdinfo. A file that two processes share counts twice.
func locks(proc string, group cgroup.Group) (count int) {
	for _, pid := range group.PIDs() {
		files, _ := filepath.Glob(fmt.Sprintf("%s/%d/fdinfo/*", proc, pid))
		for _, file := range files {
			lines, _ := countLines(file, "lock:") // 0 of one that has been closed
			if count += lines; count > mostLocks {
				return count
			}
		}
	}
	return count
}

// countLines counts the lines of a file that begin so, a little over mostLocks at most.
func countLines(path, begin string) (count int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for count <= mostLocks && lines.Scan() {
		if strings.HasPrefix(lines.Text(), begin) {
			count++
		}
	}
	return count, lines.Err()
}
