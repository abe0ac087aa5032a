package workload

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/internal/compose"
)

// restarts are the pauses before a service is started again.
var restarts = backoff.Pause{First: 200 * time.Millisecond, Last: time.Minute}

// settled is how long a service must run for its next exit to count as the first.
const settled = 10 * time.Second

// Runtime runs the containers of services. *Containerd is one.
type Runtime interface {
	// Adopt returns the task that a service has already, nil when it has none.
	Adopt(ctx context.Context, s compose.Service) (Task, error)
	// Start starts a service that has no task.
	Start(ctx context.Context, s compose.Service) (Task, error)
	// Prune stops and removes the containers of all other services.
	Prune(ctx context.Context, keep map[string]bool) error
}

// Task is the process of a container.
type Task interface {
	PID() int
	// Wait waits for the end, removes the task and returns the exit status. An
	// error says that the status cannot be had; the process may still run.
	Wait(ctx context.Context) (uint32, error)
	// Stop asks the process to end, kills it after grace, and waits for its end.
	Stop(ctx context.Context, grace time.Duration) error
}

const (
	// stopGrace is how long a container has between SIGTERM and SIGKILL.
	stopGrace = 10 * time.Second
	// StopLimit bounds the stopping of all workloads.
	StopLimit = stopGrace + 5*time.Second
	// startLimit bounds the start of a container, and startGrace what is left of it
	// when the machine goes down.
	startLimit = time.Minute
	startGrace = 10 * time.Second
	// upFor is how long a service must have been running to count as up. A service
	// that fails at once runs for a moment, too, each time that it is started.
	upFor = 3 * time.Second
	// notStartedStatus is what the restart policy takes for the exit status of a
	// container that could not be started.
	notStartedStatus = 128
)

// Supervisor keeps services running as their restart policies ask. Its zero
// value is not usable: all fields but Console and Hold must be set.
type Supervisor struct {
	Runtime Runtime
	Logs    logfile.Dir
	Records string            // directory, on a tmpfs
	Console io.Writer         // gets the output of services with compose.ConsoleLabel; nil: none does
	Say     func(what string) // a short line for the console
	Chance  func() float64    // a random number in [0, 1)
	// Hold is for how long from now on services are held back that are not essential;
	// nil: they never are.
	Hold func() time.Duration

	mu      sync.Mutex
	units   []*unit           // sorted by name; nil before Take
	refused []compose.Refused // what is asked for and cannot be run
}

// Take takes the services that Run is to run, and those that were refused. From
// then on their status is known.
func (s *Supervisor) Take(set *compose.Set) {
	units := make([]*unit, 0, len(set.Services))
	for _, service := range set.Services {
		units = append(units, newUnit(s, service))
	}
	slices.SortFunc(units, func(a, b *unit) int { return strings.Compare(a.service.Name, b.service.Name) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units, s.refused = units, set.Refused
}

// Run runs the services until ctx ends, then stops them all, and returns when they
// have ended. It never returns before ctx ends: a machine whose services have all
// ended for good, or that has none, goes on.
func (s *Supervisor) Run(ctx context.Context) {
	s.mu.Lock()
	units := s.units
	s.mu.Unlock()
	keep := make(map[string]bool)
	for _, u := range units {
		keep[u.service.Name] = true
	}

	var all sync.WaitGroup
	all.Go(func() { s.prune(ctx, keep) })
	for _, u := range units {
		all.Go(func() { u.run(ctx) })
	}
	<-ctx.Done()
	all.Wait()
}

// Status describes every workload, sorted by name.
func (s *Supervisor) Status() []node.Workload {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]node.Workload, 0, len(s.units))
	for _, u := range s.units {
		list = append(list, u.describe())
	}
	for _, r := range s.refused {
		list = append(list, node.Workload{Name: r.Name, State: node.Refused, File: r.File, Error: r.Reason()})
	}
	slices.SortStableFunc(list, func(a, b node.Workload) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// EssentialImages lists the images of the essential services.
func (s *Supervisor) EssentialImages() (images []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.units {
		if u.service.Essential() {
			images = append(images, u.service.Image)
		}
	}
	return images
}

// Checks are the conditions of a good boot. The first says whether the services are
// known. Each essential service has one of its own. That of a service which was
// refused never holds.
func (s *Supervisor) Checks() []pid1.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := pid1.Check{Name: "workloads are known", Passed: s.units != nil}
	if !known.Passed {
		known.Reason = "the Compose files have not been read yet"
	}
	checks := []pid1.Check{known}
	for _, u := range s.units {
		if u.service.Essential() {
			checks = append(checks, u.check())
		}
	}
	for _, r := range s.refused {
		if r.Essential {
			checks = append(checks, pid1.Check{Name: "workload " + r.Name + " is accepted", Reason: r.Reason()})
		}
	}
	return checks
}

// prune removes what earlier configurations left; it tries until it can.
func (s *Supervisor) prune(ctx context.Context, keep map[string]bool) {
	for failures := 1; ; failures++ {
		err := s.Runtime.Prune(ctx, keep)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.Say("remove old containers: " + err.Error())
		if !backoff.Sleep(ctx, restarts.After(failures, s.Chance())) {
			return
		}
	}
}
