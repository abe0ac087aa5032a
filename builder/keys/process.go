package keys

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// killTree kills a process and all that it has started, and they in turn. Each is
// stopped before its children are looked for, so that it starts no more.
func killTree(root int) error {
	found := []int{root}
	_ = syscall.Kill(root, syscall.SIGSTOP)
	for grown := true; grown; {
		grown = false
		parents, err := parents()
		if err != nil {
			return err
		}
		for pid, parent := range parents {
			if slices.Contains(found, parent) && !slices.Contains(found, pid) {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				found, grown = append(found, pid), true
			}
		}
	}
	for _, pid := range found {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return nil
}

// parents lists every process, with its parent.
func parents() (map[int]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := map[int]int{}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		// pid (comm) state ppid …: proc_pid_stat(5). The name may hold anything.
		var state string
		var parent int
		if _, err := fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &parent); err == nil {
			parents[pid] = parent
		}
	}
	return parents, nil
}
