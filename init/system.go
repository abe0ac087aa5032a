package main

import (
	"fmt"
	"os"
	"time"

	"ketch/init/console"
	"ketch/init/control"
	"ketch/init/crash"
	"ketch/init/down"
	"ketch/init/gate"
	"ketch/init/machine"
	"ketch/init/reaper"
	"ketch/init/service"
	"ketch/init/state"
	"ketch/init/system"
	"ketch/layout"
	"ketch/linux/input"
	"ketch/linux/kmsg"
	"ketch/linux/link"
	"ketch/linux/power"
)

// running is stage two. Its methods are the steps of boot, in that order.
type running struct {
	m        *machine.Machine
	released time.Time // of the running image; zero if it does not say
	reaper   *reaper.Reaper
	services *service.Supervisor // nil until they start
	gate     *gate.Gate
	orders   chan down.Order
	ended    chan struct{} // closed when the machine begins to go down
}

func newSystem(m *machine.Machine) *running {
	return &running{m: m, orders: make(chan down.Order), ended: make(chan struct{})}
}

func (s *running) warn(err error) { s.m.Log.Printf(kmsg.Warning, "%v", err) }

func (s *running) mounts() error {
	s.reaper = reaper.New(s.m.Log)
	if err := crash.Prepare(); err != nil {
		s.warn(err)
	}
	if err := system.Mounts(func(err error) { s.m.Log.Printf(kmsg.Info, "%v", err) }); err != nil {
		return err
	}
	return system.Limits()
}

// power lets every power button, and Ctrl-Alt-Del, take the one way down.
func (s *running) power() error {
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
	s.orders <- down.Order{Action: power.Off, By: "the power button"}
}

// parameters that do not take are a weakness, not an end.
func (s *running) parameters() error {
	err := system.Sysctls(func(name string) { s.m.Log.Printf(kmsg.Info, "this kernel has no %s", name) })
	if err != nil {
		s.m.Degrade("kernel parameters: %v", err)
	}
	return nil
}

func (s *running) groups() error { return system.Groups(s.warn) }

func (s *running) etc() error { return system.Etc(layout.EtcSkeleton, "/etc") }

// clock is set before the state partition notes a time; its own stamp comes with
// identity.
func (s *running) clock() error {
	released, err := system.Released(layout.ImageInfo)
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

// state mounts /var. A state partition that cannot be used is never formatted
// anew: the machine runs without it and says why.
func (s *running) state() error {
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
	s.m.Degrade("%v; /var is in memory and lost at the next boot", err)
	return system.Volatile("/var")
}

// stampYears is how long after the release of its image a machine may believe
// its own stamp: a clock that was wrong once must not stay wrong for ever.
const stampYears = 10

// stamped is the last time that this machine noted, zero if that cannot be.
func (s *running) stamped() time.Time {
	stamp := system.Stamped()
	if stamp.After(s.released.AddDate(stampYears, 0, 0)) {
		s.warn(fmt.Errorf("the machine's stamp says %s: not believed", stamp.UTC().Format(time.RFC3339)))
		return time.Time{}
	}
	return stamp
}

// directories: a /var that cannot hold them, read-only after an error or with a
// file in their place, is no /var.
func (s *running) directories() error {
	err := system.Directories("/")
	if err == nil {
		return nil
	}
	if err := s.volatile(fmt.Errorf("directories: %w", err)); err != nil {
		return err
	}
	return system.Directories("/")
}

// identity: a machine that cannot keep an ID has one for this boot.
func (s *running) identity() error {
	id, err := system.MachineID(layout.StateDir)
	if err != nil {
		s.m.Degrade("%v", err)
		if id, err = system.MachineID(layout.RunDir); err != nil {
			return err
		}
	}
	s.m.MachineID = id
	return system.Identify("/etc", id)
}

// start starts the services and begins to watch the health gate.
func (s *running) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.services = service.New(s.m, s.reaper, service.Table(console.Terminal(), self))
	s.gate = gate.New([]gate.Check{
		{Name: "containerd serves", Holds: func() error { return s.services.Check(service.Containerd) }},
		{Name: "ketchd is ready", Holds: func() error { return s.services.Check(service.Ketchd) }},
	})
	s.services.Start()
	crash.Go(s.m.Log, s.watch)
	return nil
}

func (s *running) loopback() error { return link.Up("lo") }

func (s *running) control() error {
	server := &control.Server{Log: s.m.Log, Status: s.status, Orders: s.orders}
	return server.Serve(layout.InitSocket)
}
