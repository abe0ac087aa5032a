// Package reaper starts PID 1's children and collects every process that ends:
// its own children and the orphans that the kernel gives to PID 1.
//
// One goroutine owns waitid(2). It peeks (WNOWAIT) to learn who has ended, and
// takes the status only then, so that it can hand the status of a child to
// whoever started it. Nobody else in PID 1 waits: a second waiter would steal
// statuses. A child cannot end unnoticed between its start and its entry in the
// table, because both happen under the lock that the collecting needs.
package reaper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
)

const (
	// batch is how many processes are collected before others have their turn with
	// the lock: a storm of orphans must not keep children from being started.
	batch = 64
	// uncollected is how long a process that has ended may wait to be collected.
	uncollected = 10 * time.Second
)

// Reaper collects processes. Use New.
type Reaper struct {
	log      *kmsg.Log
	mu       sync.Mutex
	children map[int]*Child
	tools    cgroup.Group // where tools get control groups; empty: nowhere
	runs     int          // of tools, so far
	oldest   ended        // of those not collected, at the last look of Alive
}

// ended is a process that has ended, and when Alive saw it first.
type ended struct {
	pid   int
	since time.Time
}

// Child is a process that was started by Start.
type Child struct {
	PID     int
	process *os.Process
	done    chan struct{}
	status  unix.WaitStatus
}

// New begins to collect. A process has one Reaper.
func New(log *kmsg.Log) *Reaper {
	r := &Reaper{log: log, children: make(map[int]*Child)}
	ended := make(chan os.Signal, 1) // one is enough: collect takes all there are
	signal.Notify(ended, unix.SIGCHLD)
	crash.Go(log, func() {
		r.collect() // who ended before the signal was asked for
		for range ended {
			r.collect()
		}
	})
	return r
}

// Start starts a child with a score of 0: it is as likely as any to be killed for
// its memory.
func (r *Reaper) Start(path string, argv []string, attr *os.ProcAttr) (*Child, error) {
	return r.StartScored(0, path, argv, attr)
}

// StartScored starts a child with a score of its own (oom_score_adj: -1000 never …
// 1000 first). The child has it from its first instruction on, so whatever it starts
// inherits it.
func (r *Reaper) StartScored(score int, path string, argv []string, attr *os.ProcAttr) (*Child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.lendScore(score)()
	process, err := os.StartProcess(path, argv, attr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	child := &Child{PID: process.Pid, process: process, done: make(chan struct{})}
	r.children[child.PID] = child
	return child, nil
}

// lendScore gives PID 1 itself the score that its next child is to inherit, until
// the function that it returns is called. PID 1 is never killed for its memory,
// whatever its score.
func (r *Reaper) lendScore(score int) (giveBack func()) {
	own, err := oomScore()
	if err == nil && own != score {
		if err = setOOMScore(score); err == nil {
			return func() { setOOMScore(own) }
		}
	}
	if err != nil {
		r.log.Printf(kmsg.Warning, "start a child with oom_score_adj %d: %v", score, err)
	}
	return func() {}
}

// collect takes the status of every process that has ended.
func (r *Reaper) collect() {
	for r.collectSome() {
	}
}

// collectSome takes a batch; it tells whether there may be more.
func (r *Reaper) collectSome() (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range batch {
		pid, err := peek()
		if err != nil || pid == 0 {
			return false
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			r.log.Printf(kmsg.Warning, "wait for process %d: %v", pid, err)
			return false
		}
		if child := r.children[pid]; child != nil {
			delete(r.children, pid)
			child.status = status
			child.process.Release()
			close(child.done)
		}
	}
	return true
}

// Alive returns nil while the reaper does its work: its lock can be had, and no
// process that has ended stays uncollected.
func (r *Reaper) Alive() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.check(time.Now(), peek)
}

func (r *Reaper) check(now time.Time, peek func() (int, error)) error {
	pid, err := peek()
	if err != nil && !errors.Is(err, unix.ECHILD) {
		return fmt.Errorf("look for processes that have ended: %w", err)
	}
	if pid == 0 || pid != r.oldest.pid {
		r.oldest = ended{pid, now}
	}
	if age := now.Sub(r.oldest.since); age > uncollected {
		return fmt.Errorf("process %d has ended and has not been collected for %v", pid, age.Round(time.Second))
	}
	return nil
}

// siginfo is the part of siginfo_t that waitid(2) fills in on 64-bit machines.
type siginfo struct {
	Signo, Errno, Code int32     // 0
	_                  int32     // 12
	PID                int32     // 16
	UID                uint32    // 20
	Status             int32     // 24
	_                  [100]byte // 28
}

// peek returns a process that has ended, and leaves it there; 0 for none.
func peek() (pid int, err error) {
	var info siginfo
	for {
		err = waitid(&info)
		if !errors.Is(err, unix.EINTR) {
			return int(info.PID), err
		}
	}
}

// waitid looks, without waiting, for any child that has ended, and leaves it.
func waitid(info *siginfo) error {
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err waits for the child's end and returns nil for exit status 0, else an
// *ExitError.
func (c *Child) Err() error {
	<-c.done
	if c.status.Exited() && c.status.ExitStatus() == 0 {
		return nil
	}
	return &ExitError{c.status}
}

// Signal signals the child. It never reaches another process that was given the
// same PID later: Go holds a pidfd.
func (c *Child) Signal(s os.Signal) error { return c.process.Signal(s) }

// ExitError is the end of a process that did not succeed.
type ExitError struct{ Status unix.WaitStatus }

// Error says how it ended: "exit status 1", "signal: killed".
func (e *ExitError) Error() string {
	if e.Status.Signaled() {
		return "signal: " + e.Status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
}
