package reaper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ketch/linux/kmsg"
)

// asPID1 runs the calling test again as PID 1 of new PID and mount namespaces.
// It returns true inside.
func asPID1(t *testing.T) bool {
	t.Helper()
	if os.Getenv("REAPER_TEST_INSIDE") != "" {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "REAPER_TEST_INSIDE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		t.Skipf("no PID namespace to be had: %v", err)
	}
	if err != nil {
		t.Errorf("as PID 1: %v\n%s", err, out)
	}
	return false
}

func TestSiginfoSize(t *testing.T) {
	if got := binary.Size(siginfo{}); got != 128 {
		t.Errorf("binary.Size(siginfo) = %d; want 128", got)
	}
}

// TestNoStatusIsLost races 300 children, each of which leaves two orphans behind,
// against the collecting of those orphans.
func TestNoStatusIsLost(t *testing.T) {
	if !asPID1(t) {
		return
	}
	const children, atOnce = 300, 16
	r := New(&kmsg.Log{})
	var wg sync.WaitGroup
	slots := make(chan bool, atOnce)
	wrong := make(chan string, children)
	for i := range children {
		wg.Go(func() {
			slots <- true
			defer func() { <-slots }()
			want := i % 100
			script := fmt.Sprintf("(exit 3) & (sleep 0.01) & exit %d", want)
			child, err := r.Start("/bin/sh", []string{"sh", "-c", script}, &os.ProcAttr{Env: os.Environ()})
			if err != nil {
				wrong <- err.Error()
				return
			}
			if got := code(child.Err()); got != want {
				wrong <- fmt.Sprintf("child %d ended with %d; want %d", i, got, want)
			}
		})
	}
	wg.Wait()
	close(wrong)
	for w := range wrong {
		t.Error(w)
	}
	nobodyIsLeft(t)
}

// code is an exit status; -1 for anything else.
func code(err error) int {
	var exit *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Status.Exited():
		return exit.Status.ExitStatus()
	}
	return -1
}

// nobodyIsLeft waits until PID 1 is alone in its namespace: no zombie remains.
func nobodyIsLeft(t *testing.T) {
	t.Helper()
	var left []string
	for range 500 {
		left = nil
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			if name := e.Name(); name != "1" && strings.Trim(name, "0123456789") == "" {
				left = append(left, name)
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("processes left: %v", left)
}

func TestRun(t *testing.T) {
	if !asPID1(t) {
		return
	}
	r := New(&kmsg.Log{})
	for _, test := range []struct {
		script, out, err string
	}{
		{"echo one; echo two >&2", "one\ntwo", ""},
		{"echo first; echo broken; exit 4", "first\nbroken", "run sh: exit status 4: broken"},
		{"kill -9 $$", "", "run sh: signal: killed"},
		{"cat; echo $PATH", "/usr/sbin:/usr/bin", ""},
	} {
		out, err := r.Run(time.Minute, "/bin/sh", "-c", test.script)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if out != test.out || text != test.err {
			t.Errorf("Run(%q) = %q, %q; want %q, %q", test.script, out, text, test.out, test.err)
		}
	}
	if _, err := r.Run(time.Minute, "/no/such/tool"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run of a missing tool = %v; want not exist", err)
	}
	start := time.Now()
	if _, err := r.Run(50*time.Millisecond, "/bin/sh", "-c", "exec sleep 60"); err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("Run over its limit = %v after %v; want it killed", err, time.Since(start))
	}
}

func TestSignalAfterTheEnd(t *testing.T) {
	if !asPID1(t) {
		return
	}
	child, err := New(&kmsg.Log{}).Start("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Err(); err != nil {
		t.Error(err)
	}
	if err := child.Signal(unix.SIGKILL); err == nil {
		t.Error("signalling a child that has ended = nil; want an error")
	}
}
