package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ketch/init/machine"
	"ketch/init/reaper"
	"ketch/layout/status"
	"ketch/linux/kmsg"
)

// supervise starts a table with shell scripts as services. The test binary has
// one reaper for all tests, as PID 1 has.
func supervise(t *testing.T, table ...Service) (*Supervisor, string) {
	t.Helper()
	dir := t.TempDir()
	s := &Supervisor{m: machine.New(), reaper: theReaper(), logs: dir}
	s.take(table)
	s.Start()
	t.Cleanup(func() {
		s.StopAll()
		s.CloseLogs()
	})
	return s, dir
}

var theReaper = func() func() *reaper.Reaper {
	var r *reaper.Reaper
	return func() *reaper.Reaper {
		if r == nil {
			r = reaper.New(&kmsg.Log{})
		}
		return r
	}
}()

func script(name, text string) Service {
	return Service{Name: name, Args: []string{"/bin/sh", "-c", text}}
}

// eventually polls: a test waits for what it wants, not for a time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 1000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestOrderAndReadiness(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	first := script("first", "exec sleep 60")
	first.Ready = func() error {
		_, err := os.Stat(gate)
		return err
	}
	second := script("second", "echo second runs; exec sleep 60")
	second.After = "first"
	absent := script("absent", "exit 1")
	absent.If = []string{"/no/such/file"}
	s, dir := supervise(t, second, first, absent)

	eventually(t, "first starts", func() bool { return s.Status(0)[1].State == status.StateStarting })
	eventually(t, "first's reason", func() bool {
		err := s.Check("first")
		return err != nil && strings.Contains(err.Error(), "no such file")
	})
	if got := s.Status(0); len(got) != 2 || got[0].State != status.StateWaiting {
		t.Errorf("status = %+v; want second to wait and absent to be left out", got)
	}
	os.WriteFile(gate, nil, 0o644)
	<-s.Ready("first")
	<-s.Ready("second")
	if err := errors.Join(s.Check("first"), s.Check("second")); err != nil {
		t.Error(err)
	}
	if s.Check("absent") == nil {
		t.Error("Check of a service that the image lacks = nil; want an error")
	}
	eventually(t, "second's log", func() bool {
		text, _ := os.ReadFile(dir + "/second.log")
		return string(text) == "second runs\n" && len(s.Status(5)[0].Lines) == 1
	})
}

func TestRestart(t *testing.T) {
	s, dir := supervise(t, script("flaky", "echo started >&2; exit 7"))
	eventually(t, "two restarts", func() bool { return s.Status(0)[0].Restarts >= 2 })
	got := s.Status(5)[0]
	if got.LastExit != "exit status 7" || len(got.Lines) == 0 || got.Lines[0] != "started" {
		t.Errorf("status = %+v; want exit status 7 and its lines", got)
	}
	if text, _ := os.ReadFile(dir + "/flaky.log"); strings.Count(string(text), "started") < 2 {
		t.Errorf("log = %q; want both starts", text)
	}
}

func TestMissingProgramIsRetried(t *testing.T) {
	s, _ := supervise(t, Service{Name: "gone", Args: []string{"/no/such/program"}})
	eventually(t, "a restart", func() bool { return s.Status(0)[0].Restarts >= 1 })
	if got := s.Status(0)[0].LastExit; !strings.Contains(got, "no such file") {
		t.Errorf("last exit = %q; want the reason", got)
	}
}

func TestStop(t *testing.T) {
	polite := script("polite", "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done")
	stubborn := script("stubborn", "trap '' TERM; echo up; while :; do sleep 0.01; done")
	stubborn.StopLimit = 100 * time.Millisecond
	s, dir := supervise(t, polite, stubborn)
	for _, name := range []string{"polite", "stubborn"} {
		eventually(t, name+" is up", func() bool {
			text, _ := os.ReadFile(dir + "/" + name + ".log")
			return len(text) > 0
		})
	}
	s.StopAll()
	for _, got := range s.Status(0) {
		if got.State != status.StateStopped || got.Restarts != 0 {
			t.Errorf("%s is %s after %d restarts; want it stopped", got.Name, got.State, got.Restarts)
		}
	}
}

func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for failures := 1; failures < 100; failures++ {
		shortest, longest := backoff(failures, 0), backoff(failures, 0.999)
		if shortest < last/2 || longest > time.Minute || shortest < 125*time.Millisecond {
			t.Errorf("backoff(%d) is %v to %v, after %v", failures, shortest, longest, last)
		}
		last = longest
	}
	if last < 59*time.Second {
		t.Errorf("backoff ends at %v; want a minute", last)
	}
}

func TestLogRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub/x.log")
	l := &Log{Path: path}
	line := []byte(strings.Repeat("x", 999))
	for range 3*maxLog/1000 + 10 {
		l.WriteLine(line)
	}
	l.Close()
	l.WriteLine([]byte("too late"))
	for _, file := range []string{path, path + ".1"} {
		info, err := os.Stat(file)
		if err != nil || info.Size() > maxLog+1000 {
			t.Errorf("%s: %v, %v; want at most %d bytes", file, info, err, maxLog+1000)
		}
	}
	if last := l.Last(2); len(last) != 2 || last[1] != "too late" {
		t.Errorf("Last(2) = %.20q; want the last two lines", last)
	}
}

func TestBucket(t *testing.T) {
	var b bucket
	shown, left := 0, 0
	for range 10 * burst {
		b.take(func(n int) { shown++; left += n })
	}
	if shown < burst || shown > 2*burst {
		t.Errorf("%d of %d lines shown; want about %d", shown, 10*burst, burst)
	}
	b.since = b.since.Add(-time.Hour)
	b.take(func(n int) { shown++; left += n })
	if shown+left != 10*burst+1 {
		t.Errorf("%d shown and %d told as left out; want %d together", shown, left, 10*burst+1)
	}
}
