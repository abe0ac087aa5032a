// Package step runs the boot and the way down: lists of named steps, each with a
// limit, run by one loop that logs and records them.
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

// Run runs the steps of a stage in order, and stops at the first that fails or
// overruns its limit. The watchdog is fed while a step is within its limit.
func Run(m *machine.Machine, stage string, steps []Step) error {
	for _, s := range steps {
		if err := run(m, stage, s); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// Each runs all steps, whatever becomes of each, and logs the errors: the way
// down does not stop half-way.
func Each(m *machine.Machine, stage string, steps []Step) {
	for _, s := range steps {
		if err := run(m, stage, s); err != nil {
			m.Log.Printf(kmsg.Warning, "%s: %v", s.Name, err)
		}
	}
}

func run(m *machine.Machine, stage string, s Step) error {
	start := timeline.Now()
	err := Within(m, s.Limit, s.Do)
	m.Timeline.Add(stage, s.Name, start, err)
	m.Log.Printf(kmsg.Info, "%s: %s %.1f ms", stage, s.Name, (timeline.Now()-start).Seconds()*1000)
	m.Feed()
	return err
}

// Within runs f for at most limit and feeds the watchdog meanwhile. When f
// overruns, it is left behind: a system call that hangs cannot be ended.
func Within(m *machine.Machine, limit time.Duration, f func() error) error {
	feed := time.NewTicker(machine.FeedEvery)
	defer feed.Stop()
	return bound(m, limit, f, feed.C)
}

// Bound is Within for the running system, where another loop feeds the watchdog.
func Bound(m *machine.Machine, limit time.Duration, f func() error) error {
	return bound(m, limit, f, nil)
}

func bound(m *machine.Machine, limit time.Duration, f func() error, feed <-chan time.Time) error {
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
