package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/internal/compose"
)

// unit is one service under supervision.
type unit struct {
	s       *Supervisor
	service compose.Service
	record  record // of run only
	trouble int    // times in a row that containerd or the image was missing; of run only

	mu    sync.Mutex
	shown node.Workload
	since time.Time // of the last change of its state
}

func newUnit(s *Supervisor, service compose.Service) *unit {
	return &unit{s: s, service: service, shown: node.Workload{
		Name: service.Name, State: node.Waiting, Image: service.Image, File: service.File, Restart: service.Restart.String(),
	}}
}

// run keeps the service in the state that its policy asks for, until ctx ends
// or the service has ended for good.
func (u *unit) run(ctx context.Context) {
	name := u.service.Name
	var err error
	if u.record, err = loadRecord(u.s.Records, name); err != nil {
		u.s.Say(fmt.Sprintf("workload %s: read record: %v", name, err))
	}
	if !u.held(ctx) {
		return
	}
	if u.service.Console() && u.s.Console != nil {
		copied := u.copyToConsole(ctx)
		defer copied.Wait()
	}
	for again := true; again; {
		again = u.turn(ctx)
	}
}

// held waits as long as the service is held back; it tells whether ctx still holds.
func (u *unit) held(ctx context.Context) bool {
	if u.s.Hold == nil || u.service.Essential() || u.s.Hold() <= 0 {
		return true
	}
	u.show(node.Waiting, func(w *node.Workload) { w.Error = "held back: see the machine's problems" })
	return backoff.Sleep(ctx, u.s.Hold())
}

// turn sees the service through one life of its container.
func (u *unit) turn(ctx context.Context) (again bool) {
	if ctx.Err() != nil {
		return false
	}
	limited, cancel := starting(ctx)
	defer cancel()
	task, err := u.s.Runtime.Adopt(limited, u.service)
	if err != nil {
		return u.outOfSight(ctx, node.Unknown, err)
	}
	if task != nil {
		return u.attend(ctx, task)
	}
	definition, err := digest(u.service)
	if err == nil && u.record.Done == definition {
		u.showEnd() // before ketchd was restarted
		return false
	}
	if err == nil {
		err = u.s.Logs.Prepare(u.service.Name)
	}
	if err == nil {
		task, err = u.s.Runtime.Start(limited, u.service)
	}
	if err != nil {
		return u.notStarted(ctx, err)
	}
	return u.attend(ctx, task)
}

// starting bounds a start. The end of ctx does not cut a start short at once, which
// would leave a container half made. It leaves the start a grace.
func starting(ctx context.Context) (limited context.Context, cancel func()) {
	limited, end := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	stop := context.AfterFunc(ctx, func() {
		backoff.Sleep(limited, startGrace)
		end()
	})
	return limited, func() { stop(); end() }
}

// notStarted deals with a service that could not be started. That counts as an exit,
// unless containerd or the image is missing: they may still come.
func (u *unit) notStarted(ctx context.Context, err error) (again bool) {
	switch {
	case errors.Is(err, ErrUnavailable):
		return u.outOfSight(ctx, node.Unknown, err)
	case errors.Is(err, ErrNoImage):
		return u.outOfSight(ctx, node.Failed, err)
	case !u.service.Restart.Again(notStartedStatus, u.record.Failures):
		u.show(node.Failed, func(w *node.Workload) { w.Error = err.Error() })
		u.s.Say(fmt.Sprintf("workload %s: %v", u.service.Name, err))
		return false
	}
	u.record.Failures++
	return u.pause(ctx, err.Error())
}

// outOfSight waits for containerd or for an image. Their absence is no fault of the
// service's. PID 1 restarts a containerd that has ended, and the containers live on
// without it.
func (u *unit) outOfSight(ctx context.Context, state string, err error) (again bool) {
	u.trouble++
	u.show(state, func(w *node.Workload) { w.Error = err.Error() })
	if u.trouble == 1 {
		u.s.Say(fmt.Sprintf("workload %s: %s: %v", u.service.Name, state, err))
	}
	return backoff.Sleep(ctx, restarts.After(u.trouble, u.s.Chance()))
}

// attend watches a running task to its end and decides what comes next.
func (u *unit) attend(ctx context.Context, task Task) (again bool) {
	begun := time.Now()
	u.trouble = 0
	u.show(node.Running, func(w *node.Workload) { w.PID, w.Error = task.PID(), "" })
	u.s.Say(fmt.Sprintf("workload %s: running, pid %d", u.service.Name, task.PID()))
	status, err := task.Wait(ctx)
	switch {
	case ctx.Err() != nil:
		u.stop(task)
		return false
	case err != nil:
		return u.outOfSight(ctx, node.Unknown, err)
	}
	if time.Since(begun) >= settled {
		u.record.Failures = 0
	}
	u.record.Exit = &status
	if !u.service.Restart.Again(status, u.record.Failures) {
		return u.finish()
	}
	u.record.Failures++
	u.record.Restarts++
	return u.pause(ctx, fmt.Sprintf("exited with status %d", status))
}

// finish records that the service has ended for good.
func (u *unit) finish() (again bool) {
	definition, err := digest(u.service)
	if err != nil {
		u.s.Say(fmt.Sprintf("workload %s: %v", u.service.Name, err))
	}
	u.record.Done = definition
	u.save()
	u.showEnd()
	u.s.Say(fmt.Sprintf("workload %s: exited with status %d, not restarted", u.service.Name, *u.record.Exit))
	return false
}

// pause waits before the next start. It waits longer after each failure.
func (u *unit) pause(ctx context.Context, why string) (again bool) {
	u.save()
	pause := restarts.After(u.record.Failures, u.s.Chance())
	u.show(node.Backoff, func(w *node.Workload) { w.PID, w.Error = 0, why })
	u.s.Say(fmt.Sprintf("workload %s: %s; again in %v", u.service.Name, why, pause.Round(100*time.Millisecond)))
	return backoff.Sleep(ctx, pause)
}

// stop ends the task on the way down. The restart policy does not count this exit.
func (u *unit) stop(task Task) {
	ctx, cancel := context.WithTimeout(context.Background(), StopLimit)
	defer cancel()
	u.show(node.Stopping, func(*node.Workload) {})
	err := task.Stop(ctx, stopGrace)
	if err == nil {
		_, err = task.Wait(ctx)
	}
	if err != nil {
		u.s.Say(fmt.Sprintf("workload %s: stop: %v", u.service.Name, err))
	}
}

func (u *unit) save() {
	if err := u.record.save(u.s.Records, u.service.Name); err != nil {
		u.s.Say(fmt.Sprintf("workload %s: save record: %v", u.service.Name, err))
	}
}

// copyToConsole passes on what the service writes from now on.
func (u *unit) copyToConsole(ctx context.Context) *sync.WaitGroup {
	var copying sync.WaitGroup
	name := u.service.Name
	from := u.s.Logs.Size(name)
	console := &logfile.Console{W: u.s.Console, Prefix: name + ": "}
	copying.Go(func() {
		if err := u.s.Logs.Follow(ctx, console, name, from); err != nil {
			u.s.Say(fmt.Sprintf("workload %s: copy output to the console: %v", name, err))
		}
	})
	return &copying
}

// show changes what Status says.
func (u *unit) show(state string, change func(*node.Workload)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.shown.State != state || u.since.IsZero() {
		u.since = time.Now()
	}
	u.shown.State = state
	u.shown.Since = u.since.UTC().Format(time.RFC3339)
	u.shown.Restarts, u.shown.Exit = u.record.Restarts, u.record.Exit
	change(&u.shown)
}

// showEnd shows a service that has exited for good.
func (u *unit) showEnd() {
	state := node.Exited
	if u.record.Exit != nil && *u.record.Exit != 0 {
		state = node.Failed
	}
	u.show(state, func(w *node.Workload) { w.PID, w.Error = 0, "" })
}

func (u *unit) describe() node.Workload {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.shown
}

// check tells whether an essential service is up: it has been running for a while,
// or it has done its work.
func (u *unit) check() pid1.Check {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := pid1.Check{Name: "workload " + u.service.Name + " is up"}
	switch age := time.Since(u.since); {
	case u.shown.State == node.Exited, u.shown.State == node.Running && age >= upFor:
		c.Passed = true
	case u.shown.State == node.Running:
		c.Reason = fmt.Sprintf("running for %v only", age.Round(100*time.Millisecond))
	case u.shown.Error != "":
		c.Reason = u.shown.State + ": " + u.shown.Error
	case u.shown.State == node.Failed && u.shown.Exit != nil:
		c.Reason = fmt.Sprintf("exited with status %d", *u.shown.Exit)
	default:
		c.Reason = u.shown.State
	}
	return c
}
