package service

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/init/timeline"
	"github.com/ketch-os/ketch/internal/pace"
	"github.com/ketch-os/ketch/linux/cgroup"
)

// unit is one service at run time. One goroutine, run, owns its process.
type unit struct {
	Service
	*Supervisor
	log    *Log
	group  cgroup.Group  // of the present process; empty: none; of run only
	spoilt int           // control groups that hold processes which do not die; of run only
	ready  chan struct{} // closed at first readiness
	stop   chan struct{} // closed by end
	ended  chan struct{} // closed when run has returned
	late   chan struct{} // closed when it should have

	mu    sync.Mutex
	state pid1.Service
	why   string        // it is not ready, or did not answer when last asked
	begun time.Duration // of the present process
	once  struct{ ready, stop sync.Once }
}

func newUnit(s *Supervisor, service Service) *unit {
	u := &unit{
		Service: service, Supervisor: s,
		log:   &Log{Path: filepath.Join(s.logs, service.Name+".log")},
		ready: make(chan struct{}), stop: make(chan struct{}), ended: make(chan struct{}), late: make(chan struct{}),
		state: pid1.Service{Name: service.Name, State: pid1.StateWaiting},
	}
	u.StopLimit = cmp.Or(u.StopLimit, DefaultStopLimit)
	u.Pace.Every = cmp.Or(u.Pace.Every, aliveEvery)
	u.Pace.Failures = cmp.Or(u.Pace.Failures, aliveFailures)
	return u
}

// run is the life of a service.
func (u *unit) run() {
	defer close(u.ended)
	defer u.set(pid1.StateStopped)
	defer u.sweep()
	if !u.wait(u.Supervisor.Ready(u.After)) {
		return
	}
	for failures := 0; ; {
		if !u.awaitFile() {
			return
		}
		readyFor, err := u.live()
		if u.stopping() {
			return
		}
		if !u.wanted() { // its end is no failure
			failures = 0
			u.change(func(s *pid1.Service) { s.PID = 0 })
			continue
		}
		if failures++; readyFor >= u.stable() {
			failures = 1
		}
		u.fail(err, failures)
		if !u.pause(restarts.After(failures, rand.Float64())) {
			return
		}
		u.change(func(s *pid1.Service) { s.Restarts++ })
	}
}

// wait waits for a channel of Ready. That of a service without After is nil, and
// not waited for. The result is false when the service is to stop.
func (u *unit) wait(needed <-chan struct{}) bool {
	if u.After == "" {
		return !u.stopping()
	}
	var over <-chan time.Time
	if u.Patience > 0 {
		over = time.After(u.Patience)
	}
	select {
	case <-needed:
		return true
	case <-over:
		return true
	case <-u.stop:
		return false
	}
}

// wanted tells whether the file is there that the service runs for.
func (u *unit) wanted() bool { return u.While == "" || !missing(u.While) }

// awaitFile waits for that file. It returns false when the service is to stop.
func (u *unit) awaitFile() bool {
	for began := time.Now(); !u.wanted(); {
		if u.report(0).State != pid1.StateWaiting {
			u.set(pid1.StateWaiting)
			u.because("")
		}
		if !u.pause(pace.Pause(time.Since(began))) {
			return false
		}
	}
	return true
}

// pause waits, unless the service is to stop.
func (u *unit) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-u.stop:
		return false
	}
}

// live is the life of one process: start, ready, end. It returns how long the
// process was ready and why it ended.
func (u *unit) live() (readyFor time.Duration, err error) {
	u.begun = timeline.Now()
	child, err := u.start()
	if err != nil {
		return 0, err
	}
	defer u.sweep()
	u.change(func(s *pid1.Service) { s.PID = child.PID })
	u.set(pid1.StateStarting)
	if err := u.becomeReady(child); err != nil {
		u.kill(child)
		return 0, err
	}
	since := time.Now()
	err = u.outlive(child)
	return time.Since(since), err
}

// outlive waits for the end of a process, its own or the one it is given, and
// returns the reason.
func (u *unit) outlive(child *reaper.Child) error {
	settled, hangs := time.After(u.stable()), u.listen(child)
	var look <-chan time.Time
	if u.While != "" {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-look:
			if !u.wanted() {
				u.terminate(child)
				return nil
			}
		case <-settled:
			u.m.Recover(u.keepsFailing())
		case why := <-hangs:
			u.kill(child)
			return fmt.Errorf("killed: %w", why)
		case <-child.Done():
			if err := child.Err(); err != nil {
				return err
			}
			return errors.New("exit status 0")
		case <-u.stop:
			u.terminate(child)
			return nil
		}
	}
}

// becomeReady probes until the service is ready. It also returns when the process
// ends or is to stop, which live deals with.
func (u *unit) becomeReady(child *reaper.Child) error {
	began := time.Now()
	for u.Service.Ready != nil {
		err := u.Service.Ready()
		if err == nil {
			break
		}
		age := time.Since(began)
		if age > readyLimit {
			return fmt.Errorf("not ready within %v: %w", readyLimit, err)
		}
		u.because(err.Error())
		select {
		case <-child.Done():
			return nil
		case <-u.stop:
			return nil
		case <-time.After(pace.Pause(age)):
		}
	}
	u.because("")
	u.set(pid1.StateReady)
	u.once.ready.Do(func() {
		u.m.Timeline.Add(pid1.StageService, u.Name, u.begun, nil)
		close(u.ready)
	})
	return nil
}

// fail notes why a process ended, and says it with its last line.
func (u *unit) fail(err error, failures int) {
	state := pid1.StateBackoff
	if failures >= degradedAfter {
		state = pid1.StateDegraded
	}
	u.change(func(s *pid1.Service) { s.LastExit, s.PID = err.Error(), 0 })
	u.set(state)
	u.because(err.Error())
	if u.TTY != "" { // a shell ends when its user has had enough of it
		return
	}
	last := ""
	if lines := u.log.Last(1); len(lines) == 1 {
		last = ": " + lines[0]
	}
	u.warn("%s has ended (%v)%s", u.Name, err, last)
	if failures >= degradedAfter {
		u.m.Degrade("%s", u.keepsFailing())
	}
}

// keepsFailing is why a machine with this service is degraded.
func (u *unit) keepsFailing() string { return "service " + u.Name + " keeps failing" }

// stable is how long a process must have been ready for earlier failures to be
// forgotten.
func (u *unit) stable() time.Duration {
	if u.TTY != "" {
		return 2 * time.Second
	}
	return stable
}

// terminate ends a process by SIGTERM, then SIGKILL.
func (u *unit) terminate(child *reaper.Child) {
	u.set(pid1.StateStopping)
	child.Signal(sigTerm)
	select {
	case <-child.Done():
	case <-time.After(u.StopLimit):
		u.warn("%s has not ended within %v of SIGTERM: killed", u.Name, u.StopLimit)
		u.kill(child)
	}
}

// kill kills a process and waits for its end, but not for ever: one that hangs in
// the kernel does not die.
func (u *unit) kill(child *reaper.Child) {
	child.Signal(sigKill)
	select {
	case <-child.Done():
	case <-time.After(killLimit):
		u.warn("%s does not die: process %d hangs in the kernel", u.Name, child.PID)
	}
}

// sweep kills what a process has left behind in its control group, and removes
// the group. Of a service with KeepChildren both stay for the next process, until
// the service is to stop.
func (u *unit) sweep() {
	if u.group == "" || u.KeepChildren && !u.stopping() {
		return
	}
	err := u.group.Clear(killLimit)
	if err == nil {
		err = os.Remove(string(u.group))
	}
	if err != nil {
		u.warn("%s: %v", u.Name, err)
		u.spoilt++
	}
	u.group = ""
}

// endLimit is how long end may take: run may be in the midst of a probe, then it
// terminates the process, kills it, and sweeps its group.
func (s *Service) endLimit() time.Duration {
	return probeLimit + s.StopLimit + killLimit + killLimit
}

// end asks run to stop and waits until it has, as long as that may take. That time
// runs from the first asking: one that did not end then is not waited for again.
func (u *unit) end() {
	u.once.stop.Do(func() {
		close(u.stop)
		time.AfterFunc(u.endLimit(), func() { close(u.late) })
	})
	select {
	case <-u.ended:
	case <-u.late:
	}
}

func (u *unit) stopping() bool {
	select {
	case <-u.stop:
		return true
	default:
		return false
	}
}

// check returns nil while the service is ready.
func (u *unit) check() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.state.State == pid1.StateReady:
		return nil
	case u.why == "":
		return errors.New(u.state.State)
	}
	return fmt.Errorf("%s: %s", u.state.State, u.why)
}

func (u *unit) because(why string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.why = why
}

func (u *unit) set(state string) {
	u.change(func(s *pid1.Service) { s.State, s.Since = state, timeline.Now().Seconds() })
}

func (u *unit) change(f func(*pid1.Service)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.state)
}

func (u *unit) report(lines int) pid1.Service {
	u.mu.Lock()
	s := u.state
	s.Reason = u.why
	u.mu.Unlock()
	s.Lines = u.log.Last(lines)
	if u.TTY == "" {
		s.Log = u.log.Path
	}
	return s
}
