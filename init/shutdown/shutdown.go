// Package shutdown is the one way to the end of a run, whatever the reason: a person,
// the power button, a signal, an update, or a failure. Its steps are a table
// (table.go). Each has a limit, and the watchdog stays armed to the end.
package shutdown

import (
	"os"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/power"
)

// Request is the wish to go down.
type Request struct {
	Action power.Action
	By     string // who asks
	Fatal  error  // a failure that ends this run; By is unused then
}

// String is "power-off (asked by …)".
func (r Request) String() string {
	if r.Fatal != nil {
		return r.Action.String() + " (after a fatal error)"
	}
	return r.Action.String() + " (asked by " + r.By + ")"
}

// readingTime is how long the reason of a fatal end stays on the console.
const readingTime = 5 * time.Second

// Run carries out a request. It does not return. Nothing in it starts a process,
// so it works on a machine that cannot start any.
func Run(m *machine.Machine, services *service.Supervisor, request Request) {
	began := time.Now()
	if request.Fatal != nil {
		m.Log.Printf(kmsg.Error, "%s%v", layout.SayFatal, request.Fatal)
	}
	m.Say("%s%s", layout.SayDown, request)
	list := steps(table(m, services, request, thisHost()))
	ended := last(m, request.Action, whole(list))
	step.EachFeeding(m, pid1.StageDown, list)
	if request.Fatal != nil {
		time.Sleep(time.Until(began.Add(readingTime)))
	}
	if request.Action == power.Halt && m.Watchdog != nil {
		close(ended)
		rest(m)
	}
	end(m, request.Action)
}

// last ends the run after limit, unless the channel that it returns is closed
// before. It is for a step that hangs in spite of its own limit, on a machine
// that has no watchdog.
func last(m *machine.Machine, action power.Action, limit time.Duration) chan<- struct{} {
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

// end leaves the machine to the kernel. When the kernel refuses, every other
// action is tried. When none works, the watchdog, which nobody feeds any more,
// resets the machine.
func end(m *machine.Machine, action power.Action) {
	for _, try := range []power.Action{action, power.Reboot} {
		if err := try.Do(); err != nil {
			m.Log.Printf(kmsg.Error, "%v", err)
		}
	}
	os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0)
	os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
	select {}
}
