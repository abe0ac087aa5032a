package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/ketch-os/ketch/layout/debugport"
)

// shells of a debug image, the best first.
var shells = [...]string{"/usr/bin/gosh", "/usr/bin/sh", "/bin/sh"}

// drain is how long output is still waited for after a command has ended: what
// it left in the background may hold its standard output open.
const drain = time.Second

// sender writes frames, one at a time, and keeps the first error.
type sender struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

func (s *sender) send(kind debugport.Kind, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = debugport.WriteFrame(s.w, kind, payload)
	}
	return s.err
}

func (s *sender) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// stream is a Writer whose every Write is one frame.
type stream struct {
	host *sender
	kind debugport.Kind
}

func (s stream) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		n := min(len(rest), debugport.MaxPayload)
		if err := s.host.send(s.kind, rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(data), nil
}

// running is a command on its way.
type running struct {
	kill context.CancelFunc
	done chan struct{} // closed after the Exit frame
}

// start runs the command that payload describes; its last frame is Exit.
func start(payload []byte, host *sender) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{kill: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer cancel()
		result := run(ctx, payload, host)
		if text, err := json.Marshal(result); err == nil {
			host.send(debugport.Exit, text)
		}
	}()
	return r
}

// run runs one command to its end.
func run(ctx context.Context, payload []byte, host *sender) debugport.Result {
	var command debugport.Command
	if err := json.Unmarshal(payload, &command); err != nil {
		return debugport.Result{Status: 127, Error: "decode command: " + err.Error()}
	}
	args, err := arguments(command)
	if err != nil {
		return debugport.Result{Status: 127, Error: "run command: " + err.Error()}
	}
	stderr := stream{host, debugport.Stderr}
	if command.Timeout > 0 {
		limit := time.Duration(command.Timeout * float64(time.Second))
		limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("timed out after %v", limit))
		defer cancel()
		ctx = limited
	}
	process := prepare(ctx, args, command.Stdin)
	process.Stdout, process.Stderr = stream{host, debugport.Stdout}, stderr
	err = process.Run()
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "debugd:", context.Cause(ctx))
	}
	return outcome(process.ProcessState, err)
}

// arguments is the command line of a command.
func arguments(command debugport.Command) ([]string, error) {
	if len(command.Args) > 0 {
		return command.Args, nil
	}
	if command.Shell == "" {
		return nil, errors.New("neither args nor shell is given")
	}
	for _, shell := range shells {
		if _, err := os.Stat(shell); err == nil {
			return []string{shell, "-c", command.Shell}, nil
		}
	}
	return nil, fmt.Errorf("no shell: none of %q exists", shells)
}

// prepare makes the process the head of its own group, and has the whole group
// killed when ctx ends.
func prepare(ctx context.Context, args []string, stdin []byte) *exec.Cmd {
	process := exec.CommandContext(ctx, args[0], args[1:]...)
	process.Env = environment(os.Environ())
	process.Dir = "/"
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	process.Cancel = func() error { return syscall.Kill(-process.Process.Pid, syscall.SIGKILL) }
	process.WaitDelay = drain
	if len(stdin) > 0 {
		process.Stdin = bytes.NewReader(stdin)
	}
	return process
}

// environment adds what a command expects and PID 1 may not have set.
func environment(given []string) []string {
	// Of two values the last counts (os/exec): what was given wins.
	return append([]string{"PATH=/usr/bin:/usr/sbin:/bin:/sbin", "HOME=/root", "TERM=dumb"}, given...)
}

// outcome puts the end of a process into the words of the wire format.
func outcome(state *os.ProcessState, err error) debugport.Result {
	if state == nil {
		status := 127
		if errors.Is(err, os.ErrPermission) {
			status = 126
		}
		return debugport.Result{Status: status, Error: err.Error()}
	}
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return debugport.Result{Status: 128 + int(wait.Signal())}
	}
	return debugport.Result{Status: state.ExitCode()}
}
