package service

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// Supervisor runs a table of services. Use New.
type Supervisor struct {
	m      *machine.Machine
	reaper *reaper.Reaper
	groups string // where control groups are made; empty: nowhere (tests)
	logs   string // directory
	units  []*unit
}

// New takes a table; services that are not part of this image are left out.
func New(m *machine.Machine, r *reaper.Reaper, table []Service) *Supervisor {
	s := &Supervisor{m: m, reaper: r, groups: cgroup.Root, logs: layout.LogDir}
	s.take(table)
	return s
}

func (s *Supervisor) take(table []Service) {
	for _, service := range table {
		if slices.ContainsFunc(service.RequiresFiles, missing) {
			continue
		}
		s.units = append(s.units, newUnit(s, service))
	}
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Start starts each service as soon as what it comes after is ready.
func (s *Supervisor) Start() {
	for _, u := range s.units {
		crash.Go(s.m.Log, u.run)
	}
}

// Ready returns a channel that is closed when the service has become ready for
// the first time. A service that this image lacks never does.
func (s *Supervisor) Ready(name string) <-chan struct{} {
	if u := s.unit(name); u != nil {
		return u.ready
	}
	return nil
}

// Check returns nil while the service is ready, else the reason why not.
func (s *Supervisor) Check(name string) error {
	if u := s.unit(name); u != nil {
		return u.check()
	}
	return errors.New("this image has no such service")
}

// Alive returns when every service's state can be had: nothing holds it for ever.
func (s *Supervisor) Alive() error {
	for _, u := range s.units {
		u.check()
	}
	return nil
}

// Stop ends a service for good: SIGTERM to its process, SIGKILL to all of its
// control group when that has ended or its limit is over. It returns when nothing
// is left of it, or what is left hangs in the kernel.
func (s *Supervisor) Stop(name string) {
	if u := s.unit(name); u != nil {
		u.end()
	}
}

// StopsWithin is how long Stop may take.
func (s *Supervisor) StopsWithin(name string) time.Duration {
	if u := s.unit(name); u != nil {
		return u.endLimit()
	}
	return 0
}

// StopAllWithin is how long StopAll may take when some have been stopped before.
func (s *Supervisor) StopAllWithin(stopped ...string) (longest time.Duration) {
	for _, u := range s.units {
		if !slices.Contains(stopped, u.Name) {
			longest = max(longest, u.endLimit())
		}
	}
	return longest
}

// StopAll ends all services at once.
func (s *Supervisor) StopAll() {
	var all sync.WaitGroup
	for _, u := range slices.Backward(s.units) {
		all.Go(func() {
			defer crash.Report(s.m.Log)
			u.end()
		})
	}
	all.Wait()
}

// CloseLogs closes the log files, so that what holds them can be unmounted.
func (s *Supervisor) CloseLogs() {
	for _, u := range s.units {
		u.log.Close()
	}
}

// Status tells of every service, with its last lines of output.
func (s *Supervisor) Status(lines int) []pid1.Service {
	var all []pid1.Service
	for _, u := range s.units {
		all = append(all, u.report(lines))
	}
	return all
}

func (s *Supervisor) unit(name string) *unit {
	for _, u := range s.units {
		if u.Name == name {
			return u
		}
	}
	return nil
}

func (s *Supervisor) warn(format string, args ...any) { s.m.Log.Printf(kmsg.Warning, format, args...) }
