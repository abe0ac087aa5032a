// Package gate decides whether a boot is good: whether all of its checks hold at
// one moment before a deadline. If so, the boot entry loses its counter
// (bless.go). If not, PID 1 reboots, and in the end the entry has no tries left.
// The outcome is kept either way (report.go).
//
// The checks are data: a table of PID 1's own, and sources (sources.go) that turn
// the machine's configuration and the workloads into more.
package gate

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/timeline"
	"github.com/ketch-os/ketch/internal/pace"
	"github.com/ketch-os/ketch/linux/kmsg"
)

const (
	// pollSources is the pause between two looks while only checks of sources do
	// not hold: to ask a source costs something.
	pollSources = 500 * time.Millisecond
)

// Check is one condition. Asking it costs next to nothing.
type Check struct {
	Name  string
	Holds func() error // nil: it holds now; else why not
}

// Source gives the state of more checks. It is asked only while all others hold,
// and takes a bounded time.
type Source func() []pid1.Check

// Gate runs checks and remembers what became of them.
type Gate struct {
	Deadline time.Duration
	Checks   []Check
	Sources  []Source
	Log      *kmsg.Log

	mu     sync.Mutex
	report []pid1.Check
}

// ErrStopped tells that the machine goes down before the gate has decided.
var ErrStopped = errors.New("stopped")

// Wait returns nil when all checks hold at once, or after limit an error that
// names those that do not. Closing stop ends the wait with ErrStopped. A check
// that hangs is waited for no longer than the others.
func (g *Gate) Wait(limit time.Duration, stop <-chan struct{}) error {
	deadline := time.After(limit)
	passed, ended := make(chan struct{}), make(chan struct{})
	defer close(ended)
	crash.Go(g.Log, func() { g.watch(passed, ended) })
	select {
	case <-passed:
		return nil
	case <-deadline:
		return fmt.Errorf("not good within %v: %w", g.Deadline, g.reasons())
	case <-stop:
		return ErrStopped
	}
}

// watch looks until everything holds.
func (g *Gate) watch(passed chan<- struct{}, ended <-chan struct{}) {
	for began := time.Now(); ; {
		good, pause := g.look(time.Since(began))
		if good {
			close(passed)
			return
		}
		select {
		case <-time.After(pause):
		case <-ended:
			return
		}
	}
}

// look asks every check once, after a wait. When one does not hold it tells how
// long to wait before the next look.
func (g *Gate) look(waited time.Duration) (good bool, pause time.Duration) {
	found := g.own()
	if len(failing(found)) > 0 {
		g.note(found, g.Report()) // what the sources said last still stands
		return false, pace.Pause(waited)
	}
	for _, source := range g.Sources {
		found = append(found, source()...)
	}
	g.note(found, nil)
	return len(failing(found)) == 0, pollSources
}

// own asks the checks of PID 1's own.
func (g *Gate) own() (found []pid1.Check) {
	for _, c := range g.Checks {
		found = append(found, result(c.Name, c.Holds()))
	}
	return found
}

// reasons are why the boot is not good at the deadline.
func (g *Gate) reasons() error {
	g.note(g.own(), g.Report())
	reasons := failing(g.Report())
	if len(reasons) == 0 {
		return errors.New("a check does not answer")
	}
	return errors.Join(reasons...)
}

// result is the state of a check: err is why it does not hold.
func result(name string, err error) pid1.Check {
	if err != nil {
		return pid1.Check{Name: name, Reason: err.Error()}
	}
	return pid1.Check{Name: name, Passed: true}
}

// failing are the reasons of the checks that do not hold.
func failing(checks []pid1.Check) (reasons []error) {
	for _, c := range checks {
		if !c.Passed {
			reasons = append(reasons, fmt.Errorf("%s: %s", c.Name, c.Reason))
		}
	}
	return reasons
}

// note makes what was found the report, and adds those of others that were not
// found. A check that still holds keeps the time since when it does.
func (g *Gate) note(found, others []pid1.Check) {
	now := timeline.Now().Seconds()
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range found {
		if old := find(g.report, found[i].Name); found[i].Passed && old != nil && old.Passed {
			found[i].After = old.After
		} else if found[i].Passed {
			found[i].After = now
		}
	}
	for _, other := range others {
		if find(found, other.Name) == nil {
			found = append(found, other)
		}
	}
	g.report = found
}

func find(checks []pid1.Check, name string) *pid1.Check {
	i := slices.IndexFunc(checks, func(c pid1.Check) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &checks[i]
}

// Report tells of every check.
func (g *Gate) Report() []pid1.Check {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.report == nil {
		for _, c := range g.Checks {
			g.report = append(g.report, result(c.Name, errors.New("not checked yet")))
		}
	}
	return slices.Clone(g.report)
}
