package shutdown

import (
	"cmp"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/bootlog"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/mount"
)

// What the steps wait for. The limits of the table are sums of these.
const (
	termWait    = 5 * time.Second  // from SIGTERM to SIGKILL
	killWait    = 5 * time.Second  // for what SIGKILL ends to be gone
	unmountWait = 15 * time.Second // for all file systems together, dead ones included
	hangWait    = 5 * time.Second  // then, for those that have not answered
	freezeWait  = 5 * time.Second  // then, for all that stay mounted to become read-only
	// slack is what every step has beyond what it waits for: its work itself.
	slack = 5 * time.Second
	// margin is what the whole has beyond the limits of its steps.
	margin = 10 * time.Second
)

// entry is one line of the table.
type entry struct {
	name  string
	waits time.Duration // how long it waits for others at most
	disk  time.Duration // how long its disk may take beyond that; 0: slack covers it
	do    func() error
}

// limit is longer than the step itself takes, whatever it waits for.
func (e entry) limit() time.Duration { return e.waits + cmp.Or(e.disk, slack) }

// host is what the steps act on. Tests have another.
type host struct {
	groups string            // the root of the control groups
	proc   fs.FS             // proc(5)
	signal func(unix.Signal) // sends one to every process but PID 1
	mounts mounts
}

func thisHost() host {
	return host{
		groups: cgroup.Root,
		proc:   os.DirFS("/proc"),
		signal: func(s unix.Signal) { unix.Kill(-1, s) },
		mounts: mounts{list: mount.List, unmount: mount.Unmount, freeze: mount.Freeze},
	}
}

// table is the way down, in order. services is nil when the boot has failed
// before they were started.
func table(m *machine.Machine, services *service.Supervisor, request Request, h host) []entry {
	note := func() error { return bootlog.Down(m, request.String(), request.Fatal) }
	list := []entry{{name: "note the request", do: note}}
	if services != nil {
		stop := func(name string) func() error {
			return func() error { services.Stop(name); return nil }
		}
		list = append(list, []entry{
			{name: "ketchd, which stops the workloads", waits: services.StopsWithin(service.Ketchd), do: stop(service.Ketchd)},
			{name: "workloads left", waits: termWait + killWait, do: func() error { return endGroups(m, h.groups) }},
			{name: "containerd", waits: services.StopsWithin(service.Containerd), do: stop(service.Containerd)},
			{name: "services", waits: services.StopAllWithin(service.Ketchd, service.Containerd), do: func() error { services.StopAll(); return nil }},
		}...)
	}
	return append(list, []entry{
		{name: "processes", waits: termWait + killWait, do: func() error { return endProcesses(h.proc, h.signal) }},
		{name: "clock", do: system.StampClock},
		{name: "logs", do: func() error { return closeLogs(services) }},
		{name: "note the end", do: func() error { return bootlog.Ended(m) }},
		{name: "sync", disk: 30 * time.Second, do: flush},
		{name: "file systems", waits: unmountWait + hangWait + freezeWait, do: func() error { return unmountAll(m.Log, h) }},
		{name: "devices", do: removeDevices},
		{name: "sync again", disk: 10 * time.Second, do: flush}, // after a mount was left busy it is all there is
	}...)
}

// steps is a table as a list to run.
func steps(table []entry) (list []step.Step) {
	for _, e := range table {
		list = append(list, step.Step{Name: e.name, Limit: e.limit(), Do: e.do})
	}
	return list
}

// whole is how long a list may take, with the time that the reason stays on the
// console.
func whole(list []step.Step) time.Duration {
	limit := readingTime + margin
	for _, s := range list {
		limit += s.Limit
	}
	return limit
}

func closeLogs(services *service.Supervisor) error {
	if services != nil {
		services.CloseLogs()
	}
	return nil
}

// flush writes what is dirty.
func flush() error {
	unix.Sync()
	return nil
}
