// Package step runs the boot and the way down: lists of named steps, each with a
// limit, run by one loop that logs and times them.
//
// What feeds the watchdog has Feeding in its name. A feeding list shows no more
// than that its present step is within its limit, so it is for the boot before
// services run and for the way down, when nothing looks at PID 1's liveness. In
// between the loop of the running system feeds, and nobody else: what runs beside
// it uses Run and Within.
package step

import (
	"cmp"
	"fmt"
	"time"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/timeline"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// DefaultLimit is how long a step may take that names no limit.
const DefaultLimit = 30 * time.Second

// Step is one entry of a list.
type Step struct {
	Name  string
	Limit time.Duration // 0: DefaultLimit
	Do    func() error
}

// RunFeeding runs the steps of a stage in order, and stops at the first that fails
// or overruns its limit. It feeds the watchdog while a step is within its limit.
func RunFeeding(m *machine.Machine, stage string, steps []Step) error {
	return run(m, stage, steps, withinFeeding)
}

// Run is RunFeeding for the running system: it leaves the watchdog alone.
func Run(m *machine.Machine, stage string, steps []Step) error {
	return run(m, stage, steps, Within)
}

// EachFeeding runs all steps, whatever becomes of each, and logs the errors: the
// way down does not stop half-way. It feeds the watchdog while a step is within
// its limit.
func EachFeeding(m *machine.Machine, stage string, steps []Step) {
	for _, s := range steps {
		if err := one(m, stage, s, withinFeeding); err != nil {
			m.Log.Printf(kmsg.Warning, "%s: %v", s.Name, err)
		}
	}
}

// bounder runs f for at most limit.
type bounder func(m *machine.Machine, limit time.Duration, f func() error) error

func run(m *machine.Machine, stage string, steps []Step, within bounder) error {
	for _, s := range steps {
		if err := one(m, stage, s, within); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

func one(m *machine.Machine, stage string, s Step, within bounder) error {
	start := timeline.Now()
	err := within(m, s.Limit, s.Do)
	m.Timeline.Add(stage, s.Name, start, err)
	m.Log.Printf(kmsg.Info, "%s: %s %.1f ms", stage, s.Name, (timeline.Now()-start).Seconds()*1000)
	return err
}

// Within runs f for at most limit. When f overruns, it is left behind: a system
// call that hangs cannot be ended. The watchdog is left alone.
func Within(m *machine.Machine, limit time.Duration, f func() error) error {
	return within(m, limit, f, nil)
}

// withinFeeding is Within, and feeds the watchdog meanwhile and in the end.
func withinFeeding(m *machine.Machine, limit time.Duration, f func() error) error {
	feed := time.NewTicker(machine.FeedEvery)
	defer feed.Stop()
	defer m.Feed()
	return within(m, limit, f, feed.C)
}

func within(m *machine.Machine, limit time.Duration, f func() error, feed <-chan time.Time) error {
	limit = cmp.Or(limit, DefaultLimit)
	done := make(chan error, 1)
	crash.Go(m.Log, func() { done <- f() })
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-over.C:
			return fmt.Errorf("not done within %v", limit)
		case <-feed:
			m.Feed()
		}
	}
}
