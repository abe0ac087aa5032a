// Package shutdown is the one way to the end of a run, whatever the reason: a person,
// the power button, a signal, an update, or a failure. Its steps are a table;
// each has a limit, and the watchdog stays armed to the end.
package shutdown

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/bootlog"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/power"
)

// Order is the wish to go down.
type Order struct {
	Action power.Action
	By     string // who asks
	Fatal  error  // a failure that ends this run; By is unused then
}

// String is "power-off (asked by …)".
func (o Order) String() string {
	if o.Fatal != nil {
		return o.Action.String() + " (after a fatal error)"
	}
	return o.Action.String() + " (asked by " + o.By + ")"
}

// readingTime is how long the reason of a fatal end stays on the console.
const readingTime = 5 * time.Second

// Run carries out an order. It does not return.
func Run(m *machine.Machine, services *service.Supervisor, order Order) {
	began := time.Now()
	if order.Fatal != nil {
		m.Log.Printf(kmsg.Error, "%s%v", layout.SayFatal, order.Fatal)
	}
	m.Say("%s%s", layout.SayDown, order)
	note := func() error { return bootlog.Down(m, order.String(), order.Fatal) }
	list := append([]step.Step{{Name: "record", Limit: 5 * time.Second, Do: note}}, steps(m, services)...)
	ended := last(m, order.Action, list)
	step.EachFeeding(m, "down", list)
	if order.Fatal != nil {
		time.Sleep(time.Until(began.Add(readingTime)))
	}
	if order.Action == power.Halt && m.Watchdog != nil {
		close(ended)
		rest(m)
	}
	end(m, order.Action)
}

// slack is what a step has beyond what it waits itself.
const slack = 4 * time.Second

// steps is the way down. Every limit is longer than what the step itself waits.
func steps(m *machine.Machine, services *service.Supervisor) []step.Step {
	stop := func(name string) func() error {
		return func() error { services.Stop(name); return nil }
	}
	var list []step.Step
	if services != nil { // they have not begun when the boot itself fails
		list = []step.Step{
			{Name: "ketchd, which stops the workloads", Limit: services.StopsWithin(service.Ketchd) + slack, Do: stop(service.Ketchd)},
			{Name: "workloads left", Limit: 15 * time.Second, Do: func() error { return endGroups(m) }},
			{Name: "containerd", Limit: services.StopsWithin(service.Containerd) + slack, Do: stop(service.Containerd)},
			{Name: "services", Limit: 25 * time.Second, Do: func() error { services.StopAll(); return nil }},
		}
	}
	return append(list,
		step.Step{Name: "processes", Limit: 20 * time.Second, Do: endProcesses},
		step.Step{Name: "clock", Limit: 5 * time.Second, Do: system.StampClock},
		step.Step{Name: "logs", Limit: 5 * time.Second, Do: func() error { return closeLogs(services) }},
		step.Step{Name: "record of the end", Limit: 5 * time.Second, Do: func() error { return bootlog.Ended(m) }},
		step.Step{Name: "sync", Limit: 30 * time.Second, Do: flush},
		step.Step{Name: "file systems", Limit: 30 * time.Second, Do: func() error { return unmountAll(m) }},
		step.Step{Name: "devices", Limit: 5 * time.Second, Do: removeDevices},
		step.Step{Name: "sync again", Limit: 10 * time.Second, Do: flush},
	)
}

func closeLogs(services *service.Supervisor) error {
	if services != nil {
		services.CloseLogs()
	}
	return nil
}

// flush writes what is dirty; after a mount was left busy it is all there is.
func flush() error {
	unix.Sync()
	return nil
}

// last ends the run although a step hangs in a way that its limit does not see,
// on a machine without a watchdog too, unless the channel that it returns is
// closed before.
func last(m *machine.Machine, action power.Action, list []step.Step) chan<- struct{} {
	limit := readingTime + 10*time.Second
	for _, s := range list {
		limit += s.Limit
	}
	ended := make(chan struct{})
	crash.Go(m.Log, func() {
		select {
		case <-time.After(limit):
			action.Do()
			power.Reboot.Do()
		case <-ended:
		}
	})
	return ended
}

// rest is the end of a machine that is halted and has a watchdog. An armed one
// cannot be told to stop, and would start a halted machine again: PID 1 stays, with
// nothing mounted that could be lost, and feeds it until the power is cut or
// Ctrl-Alt-Del restarts the machine.
func rest(m *machine.Machine) {
	if err := power.FreeCtrlAltDel(); err != nil {
		m.Log.Printf(kmsg.Warning, "%v", err)
	}
	m.Say(layout.SayHalted)
	for {
		m.Feed()
		time.Sleep(machine.FeedEvery)
	}
}

// end leaves the machine to the kernel. When that refuses, every other way is
// tried; when nothing helps the watchdog, no longer fed, will.
func end(m *machine.Machine, action power.Action) {
	for _, try := range []power.Action{action, power.Reboot} {
		m.Log.Printf(kmsg.Error, "%v", try.Do())
	}
	os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0)
	os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
	select {}
}

// endGroups ends what ketchd has left of the workloads: everything that is
// neither in PID 1's group nor in a service's.
func endGroups(m *machine.Machine) error {
	groups, err := workloads(cgroup.Root)
	if err != nil {
		return err
	}
	for _, g := range groups {
		m.Log.Printf(kmsg.Warning, "control group %s still runs: SIGTERM", g.Name())
		g.Signal(unix.SIGTERM)
	}
	waitFor(5*time.Second, func() bool { return !anyPopulated(groups) })
	var all sync.WaitGroup
	errs := make([]error, len(groups))
	for i, g := range groups {
		all.Go(func() { errs[i] = g.Clear(5 * time.Second) })
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
