// Package gate decides whether a boot is good: a list of checks that must all
// hold at the same time before a deadline. Then the boot entry's counter is
// removed (bless.go). If they do not, PID 1 reboots, and the boot loader's
// count of tries runs out by itself.
package gate

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ketch/init/timeline"
	"ketch/layout/status"
)

// Deadline is how long after the gate was set up its checks must hold.
const Deadline = 5 * time.Minute

// poll is the pause between two looks at the checks.
const poll = 20 * time.Millisecond

// Check is one condition.
type Check struct {
	Name  string
	Holds func() error // nil: it holds now; else why not
}

// Gate runs checks and remembers what became of them.
type Gate struct {
	checks []Check
	mu     sync.Mutex
	report []status.Check
}

// New sets up a gate; nothing has passed yet.
func New(checks []Check) *Gate {
	g := &Gate{checks: checks}
	for _, c := range checks {
		g.report = append(g.report, status.Check{Name: c.Name, Reason: "not checked yet"})
	}
	return g
}

// Wait returns nil when all checks hold at once, or after limit an error that
// names those that do not. Closing stop ends the wait with errStopped.
func (g *Gate) Wait(limit time.Duration, stop <-chan struct{}) error {
	deadline := time.After(limit)
	for {
		failed := g.look()
		if failed == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("not good in time: %w", failed)
		case <-stop:
			return ErrStopped
		case <-time.After(poll):
		}
	}
}

// ErrStopped tells that the machine goes down before the gate has decided.
var ErrStopped = errors.New("stopped")

// look runs every check once.
func (g *Gate) look() error {
	var failed []error
	for i, c := range g.checks {
		err := c.Holds()
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
		}
		g.note(i, err)
	}
	return errors.Join(failed...)
}

func (g *Gate) note(i int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.report[i]
	if err != nil {
		r.Passed, r.After, r.Reason = false, 0, err.Error()
		return
	}
	if !r.Passed {
		r.After = timeline.Now().Seconds()
	}
	r.Passed, r.Reason = true, ""
}

// Report tells of every check.
func (g *Gate) Report() []status.Check {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.report)
}
