// Package reaper starts PID 1's children and collects every process that ends:
// its own children and the orphans that the kernel gives to PID 1.
//
// One goroutine owns waitid(2). It peeks (WNOWAIT) to learn who has ended, and
// takes the status only then, so that it can hand the status of a child to who
// started it. Nobody else in PID 1 waits: a second waiter would steal statuses.
// A child cannot end unnoticed between its start and its entry in the table,
// because both happen under the lock that the collecting needs.
package reaper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ketch/init/crash"
	"ketch/linux/kmsg"
)

// Reaper collects processes. Use New.
type Reaper struct {
	log      *kmsg.Log
	mu       sync.Mutex
	children map[int]*Child
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

// Start starts a child.
func (r *Reaper) Start(path string, argv []string, attr *os.ProcAttr) (*Child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	process, err := os.StartProcess(path, argv, attr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	child := &Child{PID: process.Pid, process: process, done: make(chan struct{})}
	r.children[child.PID] = child
	return child, nil
}

// collect takes the status of every process that has ended.
func (r *Reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		pid, err := peek()
		if err != nil || pid == 0 {
			return
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			r.log.Printf(kmsg.Warning, "wait for process %d: %v", pid, err)
			return
		}
		if child := r.children[pid]; child != nil {
			delete(r.children, pid)
			child.status = status
			child.process.Release()
			close(child.done)
		}
	}
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

// toolOutput is how many bytes of a tool's output Run keeps: the last ones.
const toolOutput = 64 << 10

// Run runs a tool to its end and returns its output, standard output and error
// together. The tool is killed when it takes longer than limit.
func (r *Reaper) Run(limit time.Duration, argv ...string) (string, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", argv[0], err)
	}
	defer read.Close()
	defer write.Close()
	null, err := os.Open(os.DevNull) // a closed standard input would become the next file that is opened
	if err != nil {
		return "", fmt.Errorf("run %s: %w", argv[0], err)
	}
	defer null.Close()
	child, err := r.Start(argv[0], argv, &os.ProcAttr{
		Env:   []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C"},
		Files: []*os.File{null, write, write},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	write.Close()
	if err != nil {
		return "", err
	}
	over := time.AfterFunc(limit, func() { child.Signal(unix.SIGKILL) })
	defer over.Stop()
	out := readAll(read, limit)
	if err := child.Err(); err != nil {
		return out, fmt.Errorf("run %s: %w%s", filepath.Base(argv[0]), err, lastLine(out))
	}
	return out, nil
}

// readAll reads until every holder of the pipe has ended, and keeps the tail.
func readAll(r *os.File, limit time.Duration) string {
	r.SetReadDeadline(time.Now().Add(limit + time.Second))
	var kept []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		kept = append(kept, buf[:n]...)
		kept = kept[max(0, len(kept)-toolOutput):]
		if err != nil {
			return string(bytes.TrimSpace(kept))
		}
	}
}

// lastLine makes a tool's last line the end of an error.
func lastLine(out string) string {
	if out == "" {
		return ""
	}
	return ": " + out[strings.LastIndexByte(out, '\n')+1:]
}
