package main

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// part is a part of PID 1 that must be alive. Most show it when their lock can be
// taken.
type part struct {
	name  string
	alive func() error
}

// parts are those whose locks are held only for moments, never for as long as a
// disk or a process may take.
func (s *running) parts() []part {
	return []part{
		{"machine", func() error { s.m.Degraded(); return nil }},
		{"timeline", func() error { s.m.Timeline.Boot(); return nil }},
		{"reaper", s.reaper.Alive},
		{"supervisor", s.services.Alive},
		{"health gate", func() error { s.gate.Report(); return nil }},
	}
}

// maxMissed is how many rounds without a sign of life PID 1 survives: 30 s. The
// watchdog would wait for a minute, and leave no word of what hangs.
const maxMissed = 6

// prober asks the parts, round by round, in a goroutine of its own: a part that
// hangs must not hang the loop that has to notice. Rounds are counted, not time: a
// machine that was paused has missed none.
type prober struct {
	log    *kmsg.Log
	parts  []part
	found  chan error   // what a round has found
	asking bool         // a round is under way
	missed int          // rounds since the last good one
	asked  atomic.Value // the name of the part that was asked last
}

func newProber(log *kmsg.Log, parts []part) *prober {
	p := &prober{log: log, parts: parts, found: make(chan error, 1)}
	p.startRound()
	return p
}

// startRound begins a round, unless the last one has not ended. PID 1 dies here
// when it has been without a good one for too long: the kernel's panic reboots the
// machine.
func (p *prober) startRound() {
	if p.missed++; p.missed > maxMissed {
		p.log.Printf(kmsg.Error, "%s", stacks())
		panic(fmt.Sprintf("deadlock: %v has not been alive for %v", p.asked.Load(), maxMissed*machine.FeedEvery))
	}
	if p.asking {
		p.log.Printf(kmsg.Warning, "PID 1: %v does not answer", p.asked.Load())
		return
	}
	p.asking = true
	crash.Go(p.log, func() { p.found <- p.ask() })
}

// ask asks one part after another.
func (p *prober) ask() error {
	for _, part := range p.parts {
		p.asked.Store(part.name)
		if err := part.alive(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// note takes the outcome of a round; it tells whether all parts are alive.
func (p *prober) note(err error) (alive bool) {
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
