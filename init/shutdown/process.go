package shutdown

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// endProcesses ends every process but PID 1: SIGTERM, then SIGKILL.
func endProcesses(proc fs.FS, signal func(unix.Signal)) error {
	none := func() bool { return len(processes(proc)) == 0 }
	if none() {
		return nil
	}
	signal(unix.SIGTERM)
	signal(unix.SIGCONT) // a stopped process could not end
	if waitFor(termWait, none) {
		return nil
	}
	signal(unix.SIGKILL)
	if waitFor(killWait, none) {
		return nil
	}
	return fmt.Errorf("processes do not die: %v", processes(proc))
}

// kernelThread is PF_KTHREAD of a process's flags (include/linux/sched.h).
const kernelThread = 0x00200000

// process is what /proc/PID/stat tells of one.
type process struct {
	pid   int
	name  string
	state byte // R, S, D, Z, … (proc_pid_stat(5))
	flags uint64
}

// String is "17 sleep".
func (p process) String() string { return fmt.Sprintf("%d %s", p.pid, p.name) }

// processes lists those that SIGKILL can end: all but PID 1, kernel threads, and
// what is dead already.
func processes(proc fs.FS) []process {
	entries, _ := fs.ReadDir(proc, ".")
	var alive []process
	for _, entry := range entries {
		if entry.Name()[0] < '1' || entry.Name()[0] > '9' {
			continue
		}
		stat, err := fs.ReadFile(proc, entry.Name()+"/stat")
		if err != nil {
			continue // has just ended
		}
		p, ok := parseStat(string(stat))
		if ok && p.pid > 1 && p.flags&kernelThread == 0 && p.state != 'Z' && p.state != 'X' {
			alive = append(alive, p)
		}
	}
	return alive
}

// parseStat reads PID, (name), state and, as the ninth field, flags. A name may
// contain anything, parentheses too.
func parseStat(stat string) (p process, ok bool) {
	open, shut := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 1 || shut < open {
		return p, false
	}
	fields := strings.Fields(stat[shut+1:])
	if len(fields) < 7 {
		return p, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:open]))
	if err != nil {
		return p, false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return process{pid, stat[open+1 : shut], fields[0][0], flags}, err == nil
}
