package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/bootlog"
	"github.com/ketch-os/ketch/init/control"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/gate"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/init/timeline"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/meminfo"
	"github.com/ketch-os/ketch/linux/power"
)

// run boots stage two and serves until something ends it: a request, or an error
// that fatal decides on.
func (s *running) run(signals <-chan os.Signal) (shutdown.Request, error) {
	if err := s.boot(); err != nil {
		return shutdown.Request{}, err
	}
	crash.Go(s.m.Log, s.complete)
	request := s.serve(signals, s.parts())
	why := request.String()
	s.goingDown.Store(&why)
	close(s.ended)
	return request, request.Fatal
}

// complete ends the boot beside the loop.
func (s *running) complete() {
	if err := s.finish(); err != nil {
		s.request(shutdown.Request{Action: power.Reboot, Fatal: err})
		return
	}
	s.m.Save()
}

// serve is the loop of the running system. From the start of the services to the
// way down the watchdog is fed here and nowhere else, each time that all of PID 1's
// parts have been found alive.
func (s *running) serve(signals <-chan os.Signal, parts []part) shutdown.Request {
	prober := newProber(s.m.Log, parts)
	round := time.NewTicker(machine.FeedEvery)
	for {
		select {
		case request := <-s.requests:
			return request
		case got := <-signals:
			if request, ok := meaning(got); ok {
				return request
			}
		case <-round.C:
			prober.startRound()
		case err := <-prober.found:
			if prober.note(err) {
				s.m.Feed()
			}
		}
	}
}

// request asks for the way down. The first request counts.
func (s *running) request(r shutdown.Request) {
	select {
	case s.requests <- r:
	case <-s.ended:
	}
}

// stamp notes the time every hour. A disk that hangs holds up nothing else.
func (s *running) stamp() {
	for hour := time.NewTicker(time.Hour); ; {
		select {
		case <-hour.C:
			if err := system.StampClock(); err != nil {
				s.warn(err)
			}
		case <-s.ended:
			return
		}
	}
}

// watch follows the boot from the first service to the health gate.
func (s *running) watch() {
	deadline := time.Now().Add(s.gate.Deadline)
	select {
	case <-s.services.Ready(service.Containerd):
		s.runtimeReady()
	case <-s.ended:
		return
	case <-time.After(s.gate.Deadline): // the gate will say so
	}
	began := timeline.Now()
	err := s.gate.Wait(time.Until(deadline), s.ended)
	if errors.Is(err, gate.ErrStopped) {
		return
	}
	s.m.Timeline.Add(pid1.StageGate, "health gate", began, err)
	s.decided(err)
}

// decided acts on the gate's outcome. A good boot is told to the boot loader. A
// failed one ends as soon as the outcome has been kept.
func (s *running) decided(fault error) {
	outcome := s.gate.Outcome(s.m, fault)
	if fault == nil {
		s.good()
	}
	s.outcome.Store(outcome)
	s.m.Save()
	s.within(keepLimit, func() error { return gate.Save(layout.GateReport, outcome) })
	s.within(keepLimit, s.noteGate)
	if fault != nil {
		s.request(shutdown.Request{Action: power.Reboot, Fatal: fmt.Errorf("health gate: %w", fault)})
	}
}

const (
	// keepLimit is how long the disk may take to keep a report.
	keepLimit = 10 * time.Second
	// blessLimit is how long the boot loader's partition may take to change.
	blessLimit = 2 * time.Minute
)

// within does what the boot does not depend on: a disk that hangs is left behind.
func (s *running) within(limit time.Duration, f func() error) {
	if err := step.Within(s.m, limit, f); err != nil {
		s.warn(err)
	}
}

// good tells the boot loader and the console that this boot is good.
func (s *running) good() {
	if err := step.Within(s.m, blessLimit, func() error { return gate.Bless(s.m) }); err != nil {
		s.m.Degrade("tell the boot loader that this version is good: %v", err)
	}
	now := timeline.Now()
	s.m.Timeline.Change(func(b *pid1.Boot) { b.GoodUsec = now.Microseconds() })
	if err := system.Hurry(false); err != nil {
		s.warn(err)
	}
	s.m.Say("%s%.1f s", layout.SayGood, now.Seconds())
}

// noteGate tells the next boot how far this one came.
func (s *running) noteGate() error {
	return bootlog.Note(s.m, func(r *pid1.Run) { r.Gate = s.outcome.Load() })
}

// runtimeReady notes the moment that boot times are measured by, and the memory
// in use then.
func (s *running) runtimeReady() {
	now := timeline.Now()
	s.m.Say("%s%.1f s", layout.SayRuntimeReady, now.Seconds())
	memory := new(pid1.Memory)
	if m, err := meminfo.Read(os.DirFS("/proc")); err != nil {
		s.warn(err)
		memory = nil
	} else {
		*memory = pid1.Memory{TotalKiB: m.GivenKiB, AvailableKiB: m.AvailableKiB, UsedKiB: m.UsedKiB()}
	}
	s.m.Timeline.Change(func(b *pid1.Boot) { b.ReadyUsec, b.Memory = now.Microseconds(), memory })
	s.m.Save()
}

// status answers a client of the control socket.
func (s *running) status(lines int) *pid1.Status {
	report := control.Report(s.m)
	report.Uptime = timeline.Now().Seconds()
	report.Services = s.services.Status(lines)
	report.Gate = s.gate.Report()
	if outcome := s.outcome.Load(); outcome != nil {
		report.GateOutcome = outcome.Outcome
	}
	if why := s.goingDown.Load(); why != nil {
		report.GoingDown = *why
	}
	return report
}
