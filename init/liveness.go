package main

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// vital is a part of PID 1 that must be alive. Most show it by letting their lock
// be taken.
type vital struct {
	name  string
	alive func() error
}

// vitals are the parts whose locks are held only for moments, never for as long
// as a disk or a process may take.
func (s *running) vitals() []vital {
	return []vital{
		{"machine", func() error { s.m.Degraded(); return nil }},
		{"timeline", func() error { s.m.Timeline.Boot(); return nil }},
		{"reaper", s.reaper.Alive},
		{"supervisor", s.services.Alive},
		{"health gate", func() error { s.gate.Report(); return nil }},
	}
}

// beatsToDeath is how many beats without a sign of life PID 1 survives: 30 s. The
// watchdog would wait for a minute, and leave no word of what hangs.
const beatsToDeath = 6

// pulse asks the vitals, beat by beat, in a goroutine of its own: a part that
// hangs must not hang the loop that has to notice. Beats are counted, not time: a
// machine that was paused has missed none.
type pulse struct {
	log    *kmsg.Log
	vitals []vital
	taken  chan error // what a round has found
	asking bool       // a round is under way
	missed int        // beats since the last good round
	asked  atomic.Value
}

func newPulse(log *kmsg.Log, vitals []vital) *pulse {
	p := &pulse{log: log, vitals: vitals, taken: make(chan error, 1)}
	p.take()
	return p
}

// take begins a round, unless the last one has not ended. PID 1 dies here when it
// has been without a good one for too long: the kernel's panic reboots the machine.
func (p *pulse) take() {
	if p.missed++; p.missed > beatsToDeath {
		p.log.Printf(kmsg.Error, "%s", stacks())
		panic(fmt.Sprintf("deadlock: %v has not been alive for %v", p.asked.Load(), beatsToDeath*machine.FeedEvery))
	}
	if p.asking {
		p.log.Printf(kmsg.Warning, "PID 1: %v does not answer", p.asked.Load())
		return
	}
	p.asking = true
	crash.Go(p.log, func() { p.taken <- p.ask() })
}

// ask asks one part after another.
func (p *pulse) ask() error {
	for _, v := range p.vitals {
		p.asked.Store(v.name)
		if err := v.alive(); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

// note takes the outcome of a round; it tells whether all are alive.
func (p *pulse) note(err error) (alive bool) {
	p.asking = false
	if err != nil {
		p.log.Printf(kmsg.Warning, "PID 1: %v", err)
		return false
	}
	p.missed = 0
	return true
}

// stacks tells what each goroutine does.
func stacks() string {
	text := make([]byte, 16<<10)
	return string(text[:runtime.Stack(text, true)])
}
