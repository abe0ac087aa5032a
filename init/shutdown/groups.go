package shutdown

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// endGroups ends what ketchd has left of the workloads: everything outside of PID
// 1's group and the services'.
func endGroups(m *machine.Machine, root string) error {
	groups, err := workloads(root)
	if err != nil {
		return err
	}
	for _, g := range groups {
		m.Log.Printf(kmsg.Warning, "control group %s still runs: SIGTERM", g.Name())
		g.Signal(unix.SIGTERM)
	}
	waitFor(termWait, func() bool { return !anyPopulated(groups) })
	var all sync.WaitGroup
	errs := make([]error, len(groups))
	for i, g := range groups {
		all.Go(func() { errs[i] = g.Clear(killWait) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// workloads are the populated groups below root that do not belong to the system.
func workloads(root string) (found []cgroup.Group, err error) {
	children, err := cgroup.Group(root).Children()
	for _, g := range children {
		if name := g.Name(); name != system.InitGroup && name != service.Groups && g.Populated() {
			found = append(found, g)
		}
	}
	return found, err
}

func anyPopulated(groups []cgroup.Group) bool {
	for _, g := range groups {
		if g.Populated() {
			return true
		}
	}
	return false
}

// waitFor polls until a condition holds or the limit is over, and tells which.
func waitFor(limit time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
