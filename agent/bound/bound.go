// Package bound keeps workloads within bounds, so that whatever they do the
// machine keeps what it needs, and tells which of them has reached one.
//
//	all together    processes, memory: the control group that holds their groups
//	each            processes, memory: what its Compose file asks for, else a share
//	each            bytes and inodes of its writable layer: a project quota
//	each            file locks: ketchd ends one that holds too many
//
// What else a container can use up is charged to its memory (files, sockets,
// pipes, watches), or denied to it (devices, keys), or the kernel gives it to
// whoever has more rights (descriptors): docs/threat-model.md has the table.
package bound

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ketch-os/ketch/linux/cgroup"
)

// Bounds is what processes may take together; 0 is no bound.
type Bounds struct {
	PIDs   int64 // processes and threads
	Memory int64 // bytes
}

const (
	// ownPIDs and ownMemory are kept for PID 1, containerd, the shims, ketchd and
	// the tools that these run. Of a small machine it is half.
	ownPIDs   = 1024
	ownMemory = 96 << 20
	// ownPart is which part of a large machine's memory is kept.
	ownPart = 8
)

// All is what all workloads together may take of a machine: its threads
// (kernel.threads-max) and its memory (MemTotal) in bytes.
func All(threads, memory int64) Bounds {
	return Bounds{
		PIDs:   threads - min(ownPIDs, threads/2),
		Memory: memory - min(max(ownMemory, memory/ownPart), memory/2),
	}
}

// Each is what a workload may take that asks for nothing. One that goes wild
// leaves something to the others, and is the one that the kernel ends.
func (b Bounds) Each() Bounds { return Bounds{PIDs: b.PIDs / 2, Memory: b.Memory / 8 * 7} }

// Machine reads what All is asked for, from a /proc.
func Machine(proc string) (threads, memory int64, err error) {
	text, err := os.ReadFile(proc + "/sys/kernel/threads-max")
	if err == nil {
		threads, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read how many threads the machine can have: %w", err)
	}
	info, err := os.ReadFile(proc + "/meminfo")
	if err != nil {
		return 0, 0, fmt.Errorf("read how much memory the machine has: %w", err)
	}
	if _, err := fmt.Sscanf(string(info), "MemTotal: %d kB", &memory); err != nil {
		return 0, 0, fmt.Errorf("read how much memory the machine has: %w", err)
	}
	return threads, memory << 10, nil
}

// Make makes the group of all workloads, below root, and sets its bounds.
func Make(root, path string, b Bounds) (cgroup.Group, error) {
	group, err := cgroup.Make(root, strings.TrimPrefix(path, "/"))
	if err != nil {
		return "", err
	}
	if err := group.Set("pids.max", strconv.FormatInt(b.PIDs, 10)); err != nil {
		return "", err
	}
	return group, group.Set("memory.max", strconv.FormatInt(b.Memory, 10))
}
