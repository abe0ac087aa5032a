package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/sparse"
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

// kill kills a service's process once its number is known: 0 would be this test's
// own process group.
func kill(t *testing.T, s *Supervisor, number int) {
	t.Helper()
	var pid int
	testkit.Eventually(t, "the number of the process", func() bool {
		pid = s.Status(0)[number].PID
		return pid > 1
	})
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
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
	absent.RequiresFiles = []string{"/no/such/file"}
	s, dir := supervise(t, second, first, absent)

	testkit.Eventually(t, "first starts", func() bool { return s.Status(0)[1].State == pid1.StateStarting })
	testkit.Eventually(t, "first's reason", func() bool {
		err := s.Check("first")
		return err != nil && strings.Contains(err.Error(), "no such file")
	})
	if got := s.Status(0); len(got) != 2 || got[0].State != pid1.StateWaiting {
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
	testkit.Eventually(t, "second's log", func() bool {
		text, _ := os.ReadFile(dir + "/second.log")
		return string(text) == "second runs\n" && len(s.Status(5)[0].Lines) == 1
	})
}

// TestPatience: what helps a person runs without what it comes after, if that does
// not get ready.
func TestPatience(t *testing.T) {
	never := script("never", "exec sleep 60")
	never.Ready = func() error { return errors.New("not ready") }
	door := script("door", "exec sleep 60")
	door.After, door.Patience = "never", 10*time.Millisecond
	strict := script("strict", "exec sleep 60")
	strict.After = "never"
	s, _ := supervise(t, never, door, strict)
	<-s.Ready("door")
	testkit.Eventually(t, "the first starts", func() bool { return s.Status(0)[0].State == pid1.StateStarting })
	if got := s.Status(0)[2]; got.State != pid1.StateWaiting {
		t.Errorf("status = %+v; want the one without patience to wait", got)
	}
}

func TestRestart(t *testing.T) {
	s, dir := supervise(t, script("flaky", "echo started >&2; exit 7"))
	testkit.Eventually(t, "two restarts", func() bool { return s.Status(0)[0].Restarts >= 2 })
	got := s.Status(5)[0]
	if got.LastExit != "exit status 7" || len(got.Lines) == 0 || got.Lines[0] != "started" {
		t.Errorf("status = %+v; want exit status 7 and its lines", got)
	}
	if text, _ := os.ReadFile(dir + "/flaky.log"); strings.Count(string(text), "started") < 2 {
		t.Errorf("log = %q; want both starts", text)
	}
}

// TestWhile: a service runs while its file is there, and its end is no failure then.
func TestWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	keyed := script("keyed", "echo started; exec sleep 60")
	keyed.While = path
	s, dir := supervise(t, keyed)
	state := func() string { return s.Status(0)[0].State }
	for round := 1; round <= 2; round++ {
		testkit.Eventually(t, "it waits for its file", func() bool { return state() == pid1.StateWaiting && s.Status(0)[0].PID == 0 })
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "it runs", func() bool { return state() == pid1.StateReady })
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "it has ended", func() bool { return state() == pid1.StateWaiting })
		if text, _ := os.ReadFile(dir + "/keyed.log"); strings.Count(string(text), "started") != round {
			t.Errorf("log = %q; want %d starts", text, round)
		}
	}
	if got := s.Status(0)[0]; got.Restarts != 0 || got.LastExit != "" {
		t.Errorf("status = %+v; want no failure", got)
	}
}

func TestMissingProgramIsRetried(t *testing.T) {
	s, _ := supervise(t, Service{Name: "gone", Args: []string{"/no/such/program"}})
	testkit.Eventually(t, "a restart", func() bool { return s.Status(0)[0].Restarts >= 1 })
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
		testkit.Eventually(t, name+" is up", func() bool {
			text, _ := os.ReadFile(dir + "/" + name + ".log")
			return len(text) > 0
		})
	}
	s.StopAll()
	for _, got := range s.Status(0) {
		if got.State != pid1.StateStopped || got.Restarts != 0 {
			t.Errorf("%s is %s after %d restarts; want it stopped", got.Name, got.State, got.Restarts)
		}
	}
}

// TestHangs: a process that stops answering is killed and started again, and says
// why; one that is slow once is left alone.
func TestHangs(t *testing.T) {
	var deaf atomic.Bool
	var asked atomic.Int32
	hanging := script("hanging", "trap '' TERM; echo up; while :; do sleep 0.01; done")
	hanging.Pace = Pace{Every: 10 * time.Millisecond, Failures: 3}
	hanging.StopLimit = 100 * time.Millisecond
	hanging.Alive = func() error {
		if n := asked.Add(1); deaf.Load() || n%3 != 0 { // two failures in a row are none
			return errors.New("no answer")
		}
		return nil
	}
	s, _ := supervise(t, hanging)
	testkit.Eventually(t, "many probes", func() bool { return asked.Load() > 20 })
	first := s.Status(0)[0]
	if first.Restarts != 0 || first.State != pid1.StateReady {
		t.Fatalf("status = %+v; want it to run on", first)
	}
	testkit.Eventually(t, "a reason while it is ready", func() bool { return strings.Contains(s.Status(0)[0].Reason, "of 3 probes") })
	deaf.Store(true)
	testkit.Eventually(t, "a restart", func() bool { return s.Status(0)[0].Restarts >= 1 })
	deaf.Store(false)
	const want = "killed: it hangs: no answer to 3 probes in a row: no answer"
	if got := s.Status(0)[0].LastExit; got != want {
		t.Errorf("last exit = %q; want %q", got, want)
	}
	testkit.Eventually(t, "another process", func() bool { pid := s.Status(0)[0].PID; return pid != 0 && pid != first.PID })
}

// TestASlowProbeBlocksNobody: neither the end of the process nor the order to stop
// waits for an answer.
func TestASlowProbeBlocksNobody(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	slow := script("slow", "exec sleep 60")
	slow.Pace.Every = time.Millisecond
	probed := make(chan struct{}, 1)
	slow.Alive = func() error {
		select {
		case probed <- struct{}{}:
		default:
		}
		<-release
		return nil
	}
	s, _ := supervise(t, slow)
	<-probed
	kill(t, s, 0)
	testkit.Eventually(t, "a restart", func() bool { return s.Status(0)[0].Restarts == 1 && s.Status(0)[0].PID != 0 })
	s.StopAll()
	if got := s.Status(0)[0].State; got != pid1.StateStopped {
		t.Errorf("state = %s; want stopped", got)
	}
}

// TestDegraded: a service that keeps failing says so, with its last lines, and is
// tried ever less often.
func TestDegraded(t *testing.T) {
	s, _ := supervise(t, script("hopeless", "echo no configuration; exit 3"))
	testkit.Eventually(t, "degraded", func() bool { return s.Status(0)[0].State == pid1.StateDegraded })
	got := s.Status(2)[0]
	if got.Restarts < degradedAfter-1 || got.LastExit != "exit status 3" || len(got.Lines) == 0 || got.Lines[0] != "no configuration" {
		t.Errorf("status = %+v; want exit status 3 and the last lines", got)
	}
	if reasons := s.m.Degraded(); len(reasons) != 1 || reasons[0] != "service hopeless keeps failing" {
		t.Errorf("the machine is degraded for %q", reasons)
	}
}

// TestControlGroup: a service has its limits; what it leaves behind ends with it,
// unless it keeps it for its next process, which takes it over until the stop.
func TestControlGroup(t *testing.T) {
	groups := testkit.Cgroup(t)
	tidy := script("tidy", "sleep 600 & exec sleep 60")
	leaves := script("leaves", "sleep 600 & exec sleep 60")
	leaves.KeepChildren = true
	s := &Supervisor{m: machine.New(), reaper: theReaper(), logs: t.TempDir(), groups: groups}
	s.take([]Service{tidy, leaves})
	s.Start()
	defer func() {
		s.StopAll()
		s.CloseLogs()
		for _, name := range []string{"/services", ""} {
			if err := os.Remove(groups + name); err != nil {
				t.Errorf("after the stop: %v; want no group left", err)
			}
		}
	}()
	for i, want := range []int{2, 3} { // processes after the first has been killed
		group := cgroup.Group(groups + "/services/" + s.units[i].Name)
		testkit.Eventually(t, "two processes", func() bool { return len(group.PIDs()) == 2 })
		kill(t, s, i)
		testkit.Eventually(t, "a restart", func() bool { return s.Status(0)[i].Restarts == 1 && len(group.PIDs()) >= want })
		if got := len(group.PIDs()); got != want {
			t.Errorf("%s has %d processes after a restart; want %d", group.Name(), got, want)
		}
	}
}

// TestLimits are written where a group has them, and a missing one is an error.
func TestLimits(t *testing.T) {
	root := t.TempDir()
	group := cgroup.Group(root + "/a")
	os.Mkdir(string(group), 0o755)
	for _, file := range []string{"memory.min", "a/memory.min", "a/memory.max", "a/pids.max"} {
		os.WriteFile(filepath.Join(root, file), nil, 0o644)
	}
	s := &Supervisor{}
	s.take([]Service{{Name: "a", Limits: Limits{MemoryMin: 3, MemoryMax: 5, PIDsMax: 7}}, {Name: "b", Limits: Limits{MemoryMin: 4}}})
	if err := s.units[0].limit(group); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"memory.min": "7", "a/memory.min": "3", "a/memory.max": "5", "a/pids.max": "7"} {
		if got, _ := os.ReadFile(filepath.Join(root, file)); string(got) != want {
			t.Errorf("%s = %q; want %s", file, got, want)
		}
	}
	os.Remove(string(group) + "/pids.max")
	if err := s.units[0].limit(group); err == nil {
		t.Error("limit in a kernel without pids = nil; want an error")
	}
}

// TestTable: what the rest of PID 1 relies on, and what no entry may lack.
func TestTable(t *testing.T) {
	for _, s := range Table("/dev/ttyS0", "/init") {
		bounded := s.Limits.MemoryMin > 0 || s.Limits.PIDsMax > 0
		if s.Name == "" || len(s.Args) == 0 || !bounded || (s.Ready == nil) != (s.Alive == nil) {
			t.Errorf("service %+v: a name, a program, limits and both probes or none are needed", s)
		}
		if lives := s.Name == Containerd; s.KeepChildren != lives {
			t.Errorf("service %s: KeepChildren = %v; only containerd's shims outlive it", s.Name, s.KeepChildren)
		}
	}
}

// TestLogIsBounded: a log is one file, whose head is dropped, and the next process
// goes on with it.
func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub/x.log")
	line := []byte(strings.Repeat("x", 999))
	written := int64(0)
	for range 2 {
		l := &Log{Path: path}
		for range 3*maxLog/1000 + 10 {
			l.WriteLine(line)
			written += 1000
		}
		l.Close()
		l.WriteLine([]byte("too late"))
		if last := l.Last(2); len(last) != 2 || last[1] != "too late" {
			t.Errorf("Last(2) = %.20q; want the last two lines", last)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != written {
		t.Errorf("the log ends at %d, %v; want %d", info.Size(), err, written)
	}
	begin, err := sparse.Data(f, 0)
	if held := written - begin; err != nil || held < maxLog || held > 2*maxLog+1000 {
		t.Errorf("the log holds %d bytes, %v; want %d to %d", held, err, maxLog, 2*maxLog)
	}
}

// TestLogIsAFile: whatever else has the log's name is not written to.
func TestLogIsAFile(t *testing.T) {
	dir := t.TempDir()
	secret, path := filepath.Join(dir, "secret"), filepath.Join(dir, "x.log")
	for kind, place := range map[string]func() error{
		"symbolic link": func() error { return os.Symlink(secret, path) },
		"FIFO":          func() error { return unix.Mkfifo(path, 0o600) },
	} {
		if err := place(); err != nil {
			t.Fatal(err)
		}
		l := &Log{Path: path}
		l.WriteLine([]byte("a line"))
		l.Close()
		if text, err := os.ReadFile(path); string(text) != "a line\n" {
			t.Errorf("in the place of a %s the log is %q, %v", kind, text, err)
		}
		os.Remove(path)
	}
	if _, err := os.Stat(secret); err == nil {
		t.Error("a line was written to where a link led")
	}
}

func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bucket
		shown, left := 0, 0
		take := func() { b.take(func(n int) { shown++; left += n }) }
		for range 10 * burst {
			take()
		}
		if shown != burst {
			t.Errorf("%d of %d lines shown at once; want %d", shown, 10*burst, burst)
		}
		time.Sleep(time.Second)
		for range burst {
			take()
		}
		if shown != burst+perSecond || left != 9*burst {
			t.Errorf("%d lines shown a second later, %d told as left out; want %d, %d", shown, left, burst+perSecond, 9*burst)
		}
	})
}
