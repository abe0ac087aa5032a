package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/init/bootcount"
	"github.com/ketch-os/ketch/init/bootlog"
	"github.com/ketch-os/ketch/init/console"
	"github.com/ketch-os/ketch/init/control"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/gate"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/init/state"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/init/threads"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/layout/gatefile"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/input"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/link"
	"github.com/ketch-os/ketch/linux/power"
)

// running is stage two. Its methods are the steps of boot, in that order.
type running struct {
	m        *machine.Machine
	released time.Time // of the running image; zero if it does not say
	reaper   *reaper.Reaper
	services *service.Supervisor // nil until they start
	gate     *gate.Gate
	noState  error // why /var is not the state partition
	requests chan shutdown.Request
	ended    chan struct{} // closed when the machine begins to go down

	goingDown atomic.Pointer[string]
	outcome   atomic.Pointer[pid1.GateReport] // once the gate has decided
}

func newSystem(m *machine.Machine) *running {
	return &running{m: m, requests: make(chan shutdown.Request), ended: make(chan struct{})}
}

func (s *running) warn(err error) { s.m.Log.Printf(kmsg.Warning, "%v", err) }

func (s *running) mountFileSystems() error {
	threads.Reserve(s.m.Log, threads.Reserved)
	s.reaper = reaper.New(s.m.Log)
	if err := crash.Prepare(); err != nil {
		s.warn(err)
	}
	if err := system.Mounts(func(err error) { s.m.Log.Printf(kmsg.Info, "%v", err) }); err != nil {
		return err
	}
	return system.Limits()
}

// listenToButtons lets every power button, and Ctrl-Alt-Del, take the one way down.
func (s *running) listenToButtons() error {
	if err := power.CatchCtrlAltDel(); err != nil {
		return err
	}
	nodes, err := input.PowerButtons()
	for _, node := range nodes {
		crash.Go(s.m.Log, func() { s.button(node) })
	}
	return err
}

func (s *running) button(node string) {
	f, err := input.Open(node)
	if err == nil {
		defer f.Close()
		err = input.WaitPower(f)
	}
	if err != nil {
		s.warn(fmt.Errorf("power button: %w", err))
		return
	}
	s.request(shutdown.Request{Action: power.Off, By: "the power button"})
}

// setParameters sets the kernel parameters. Without one that does not take the
// machine runs, degraded.
func (s *running) setParameters() error {
	err := system.Sysctls(func(name string) { s.m.Log.Printf(kmsg.Info, "this kernel has no %s", name) })
	if err != nil {
		s.m.Degrade("kernel parameters: %v", err)
	}
	return nil
}

// makeGroups gives PID 1 a control group and a score of its own, and tools theirs.
func (s *running) makeGroups() error {
	if err := reaper.Protect(); err != nil {
		s.warn(err)
	}
	if err := system.Groups(s.warn); err != nil {
		return err
	}
	s.reaper.Confine(cgroup.Group(cgroup.Root + "/" + system.ToolsGroup))
	return nil
}

func (s *running) buildEtc() error { return system.Etc(layout.EtcSkeleton, "/etc") }

// setClock sets a clock that is behind the image, before the state partition
// notes a time. The machine's own stamp is looked at once that partition is
// mounted.
func (s *running) setClock() error {
	released, err := system.Released(os.DirFS("/usr"))
	if err != nil {
		s.warn(err)
		return nil
	}
	s.released = released
	return s.floor(released, "the image's release")
}

func (s *running) floor(floor time.Time, what string) error {
	moved, err := system.FloorClock(floor)
	if moved {
		s.m.Log.Printf(kmsg.Warning, "the clock was behind: set to %s, %s", floor.UTC().Format(time.RFC3339), what)
	}
	return err
}

// mountState mounts /var. A state partition that cannot be used is never formatted
// anew: the machine runs without it and says why.
func (s *running) mountState() error {
	err := state.Mount(s.m, s.reaper, "/var")
	if err != nil {
		return s.volatile(fmt.Errorf("state partition: %w", err))
	}
	if err := s.floor(s.stamped(), "the last time this machine ran"); err != nil {
		s.m.Degrade("clock: %v", err)
	}
	return nil
}

// volatile goes on with a /var in memory.
func (s *running) volatile(err error) error {
	s.noState = err
	s.m.Degrade("%v; /var is in memory and lost at the next boot", err)
	return system.Volatile("/var")
}

// stampYears is how long after the release of its image a machine may believe
// its own stamp: a clock that was wrong once must not stay wrong for ever.
const stampYears = 10

// stamped is the last time that this machine noted, zero where it is not
// believed.
func (s *running) stamped() time.Time {
	stamp := system.Stamped()
	if stamp.After(s.released.AddDate(stampYears, 0, 0)) {
		s.warn(fmt.Errorf("the machine's stamp says %s: not believed", stamp.UTC().Format(time.RFC3339)))
		return time.Time{}
	}
	return stamp
}

// makeDirectories makes the directories of every machine. A /var that cannot hold
// them, because it is read-only after an error or has a file in their place,
// gives way to one in memory.
func (s *running) makeDirectories() error {
	err := system.Directories("/")
	if err == nil {
		return nil
	}
	if err := s.volatile(fmt.Errorf("directories: %w", err)); err != nil {
		return err
	}
	return system.Directories("/")
}

// identify gives the machine its ID and its name. An ID that cannot be kept is
// for this boot only.
func (s *running) identify() error {
	id, err := system.MachineID(layout.StateDir)
	if err != nil {
		s.m.Degrade("%v", err)
		if id, err = system.MachineID(layout.RunDir); err != nil {
			return err
		}
	}
	s.m.MachineID = id
	return system.Identify("/etc", id, func(err error) { s.m.Degrade("%v", err) })
}

// startServices starts them and begins to watch the health gate.
func (s *running) startServices() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.services = service.New(s.m, s.reaper, service.Table(console.Terminal(), self))
	s.gate = s.newGate()
	s.services.Start()
	crash.Go(s.m.Log, s.watch)
	crash.Go(s.m.Log, s.stamp)
	return nil
}

// newGate is the table of what makes a boot good. A gate file that cannot be read
// may ask for anything, so the boot is not good.
func (s *running) newGate() *gate.Gate {
	file, unread := gatefile.Read(layout.GateFile)
	if unread != nil {
		s.m.Degrade("health gate: %v", unread)
		file = &gatefile.File{Deadline: gatefile.Duration(gatefile.DefaultDeadline)}
	}
	return &gate.Gate{
		Log:      s.m.Log,
		Deadline: time.Duration(file.Deadline),
		Checks: []gate.Check{
			{Name: "containerd serves", Holds: func() error { return s.services.Check(service.Containerd) }},
			{Name: "ketchd is ready", Holds: func() error { return s.services.Check(service.Ketchd) }},
			{Name: "/var is the state partition", Holds: s.stateHolds},
			{Name: "gate file can be read", Holds: func() error { return unread }},
		},
		Sources: []gate.Source{
			gate.Ketchd(layout.KetchdSocket, s.alone), // workloads and HTTP probes
			gate.Commands(s.reaper, file.Checks),
		},
	}
}

// stateHolds is a check of the gate: a version that has never been good must
// mount the state partition as long as there is one to go back to. Any other runs
// without it, degraded and reachable, because a reboot would not help.
func (s *running) stateHolds() error {
	to := better(s.m.Record())
	if s.noState == nil || to == "" {
		return nil
	}
	return fmt.Errorf("%w; version %s was good on this machine", s.noState, to)
}

// alone tells that there is no better version to go back to: to reboot would not mend
// what the machine itself lacks.
func (s *running) alone() bool { return better(s.m.Record()) == "" }

// better names the version to go back to from a running one, the first of the
// boot record, that has never been good. It is empty where there is none.
func better(r *bootrecord.Record) string {
	if r == nil || len(r.Versions) == 0 || r.Versions[0].EverGood() {
		return ""
	}
	if to := bootcount.WayBack(r); to != nil {
		return to.Name
	}
	return ""
}

func (s *running) raiseLoopback() error { return link.Up("lo") }

func (s *running) openSocket() error {
	server := &control.Server{Machine: s.m, Status: s.status, Request: s.request}
	return server.Serve(layout.InitSocket)
}

// keepPrevious keeps what the last boot has left, and begins what this one
// leaves. Where the disk takes neither, a warning is enough: mountState has told
// of worse.
func (s *running) keepPrevious() error {
	if err := bootlog.Start(s.m); err != nil {
		s.warn(err)
	}
	return nil
}
