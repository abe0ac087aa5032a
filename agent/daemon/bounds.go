package daemon

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/agent/workload"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/linux/cgroup"
)

// boundsEvery is how often ketchd looks which workload has reached a bound, and
// how much of the disk each may take.
const boundsEvery = 2 * time.Second

// statePath is the file system that workloads write to.
const statePath = "/var"

// boundWorkloads bounds what all workloads may take together, and returns what
// one may take that asks for nothing.
func (n *Node) boundWorkloads() bound.Bounds {
	n.disk = &bound.Disk{Path: statePath}
	n.meter = &bound.Meter{Group: cgroup.Group(cgroup.Root + workload.CgroupParent), Now: time.Now}
	threads, memory, err := bound.Machine("/proc")
	if err != nil {
		n.problem("bound workloads", err)
		return bound.Bounds{}
	}
	all := bound.All(threads, memory)
	_, err = bound.Make(cgroup.Root, workload.CgroupParent, all)
	n.problem("bound workloads", err)
	return all.Each()
}

// hostIDs tells whether workloads must share the host's users: the kernel cannot map
// the ids of files in memory (tmpfs, before Linux 6.3), where a machine without its
// state partition has all its files.
func (n *Node) hostIDs() bool {
	var fs unix.Statfs_t
	if err := unix.Statfs(statePath, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return false
	}
	n.problem("user namespaces", errors.New(statePath+" is in memory: root in a workload is root"))
	return true
}

// keepBounds looks at the bounds until ctx ends.
func (n *Node) keepBounds(ctx context.Context) {
	for backoff.Sleep(ctx, boundsEvery) {
		names := n.workloadNames()
		for _, name := range names {
			n.meter.Look(name)
		}
		n.problem("bound file locks", n.meter.EndLockers("/proc", names))
		n.problem("share the disk", n.disk.Share())
	}
}

// boundProblems says who has reached a bound, and what is full.
func (n *Node) boundProblems() []string {
	return append(n.meter.Problems(n.workloadNames()), n.disk.Problems()...)
}

func (n *Node) workloadNames() (names []string) {
	for _, w := range n.workloads.Status() {
		names = append(names, w.Name)
	}
	return names
}
