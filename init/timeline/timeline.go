// Package timeline notes when each step of the boot began and how long it took,
// in the form of pid1.Boot. It is a package beside step, which runs the steps,
// because step is given the machine and the machine has the timeline: as one
// package the two would import each other.
package timeline

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/atomicfile"
)

// Timeline is safe for use by several goroutines.
type Timeline struct {
	mu   sync.Mutex
	boot pid1.Boot
}

// New continues the timeline of an earlier stage; its zero value starts one.
func New(boot pid1.Boot) *Timeline { return &Timeline{boot: boot} }

// Now returns the time since the kernel started, suspended time included.
func Now() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// Add notes a step that has just ended.
func (t *Timeline) Add(stage, name string, start time.Duration, err error) {
	step := pid1.Step{Stage: stage, Name: name, StartUsec: start.Microseconds(), TookUsec: (Now() - start).Microseconds()}
	if err != nil {
		step.Error = err.Error()
	}
	t.Change(func(b *pid1.Boot) { b.Steps = append(b.Steps, step) })
}

// Change lets f change the timeline.
func (t *Timeline) Change(f func(*pid1.Boot)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.boot)
}

// Boot returns a copy of the timeline, its steps in the order they began.
func (t *Timeline) Boot() pid1.Boot {
	t.mu.Lock()
	defer t.mu.Unlock()
	boot := t.boot
	boot.Steps = slices.Clone(boot.Steps)
	slices.SortStableFunc(boot.Steps, func(a, b pid1.Step) int { return int(a.StartUsec - b.StartUsec) })
	return boot
}

// Save replaces the file at path by the timeline.
func (t *Timeline) Save(path string) error {
	text, err := json.MarshalIndent(t.Boot(), "", "\t")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = atomicfile.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("save boot timeline: %w", err)
	}
	return nil
}
