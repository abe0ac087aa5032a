package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/internal/compose"
	"github.com/ketch-os/ketch/internal/testkit"
)

// life is how a fake container's process goes: it exits with status after d,
// or cannot be started.
type life struct {
	d      time.Duration
	status uint32
	err    error
}

// fakeRuntime gives each start the next of its lives; the last one repeats.
type fakeRuntime struct {
	mu     sync.Mutex
	lives  []life
	starts []time.Duration // since begin
	begin  time.Time
	task   *fakeTask // running or ended, not yet waited for
	kept   map[string]bool
	adopts []error // what Adopt returns first
}

func (r *fakeRuntime) Adopt(context.Context, compose.Service) (Task, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.adopts) > 0 {
		err := r.adopts[0]
		r.adopts = r.adopts[1:]
		return nil, err
	}
	if r.task == nil {
		return nil, nil
	}
	return r.task, nil
}

func (r *fakeRuntime) Start(context.Context, compose.Service) (Task, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.task != nil {
		return nil, errors.New("started twice")
	}
	next := r.lives[min(len(r.starts), len(r.lives)-1)]
	r.starts = append(r.starts, time.Since(r.begin))
	if next.err != nil {
		return nil, next.err
	}
	r.task = &fakeTask{runtime: r, ended: make(chan uint32, 1)}
	time.AfterFunc(next.d, func() { r.end(next.status) })
	return r.task, nil
}

// end ends the running task as if its process had exited.
func (r *fakeRuntime) end(status uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.task != nil {
		select {
		case r.task.ended <- status:
		default:
		}
	}
}

func (r *fakeRuntime) Prune(_ context.Context, keep map[string]bool) error {
	r.kept = keep
	return nil
}

type fakeTask struct {
	runtime *fakeRuntime
	ended   chan uint32
	stopped bool
}

func (t *fakeTask) PID() int { return 42 }

func (t *fakeTask) Wait(ctx context.Context) (uint32, error) {
	select {
	case status := <-t.ended:
		t.runtime.mu.Lock()
		defer t.runtime.mu.Unlock()
		t.runtime.task = nil
		return status, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (t *fakeTask) Stop(context.Context, time.Duration) error {
	t.stopped = true
	t.runtime.end(143)
	return nil
}

// supervise runs one service for d on a fake clock.
func supervise(t *testing.T, runtime *fakeRuntime, records string, policy string, d time.Duration) (node.Workload, string) {
	t.Helper()
	restart, err := compose.ParseRestart(policy)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s := &Supervisor{
		Runtime: runtime,
		Logs:    logfile.Dir(t.TempDir()),
		Records: records,
		Say:     func(what string) { fmt.Fprintln(&said, what) },
		Chance:  func() float64 { return 0.5 }, // no jitter
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Take(&compose.Set{Services: []compose.Service{{Name: "test", Image: "demo", Restart: restart}}})
		s.Run(ctx)
	}()
	time.Sleep(d)
	synctest.Wait()
	got := s.Status()[0]
	cancel()
	<-done
	return got, said.String()
}

func TestRestartPolicies(t *testing.T) {
	second := time.Second
	for _, test := range []struct {
		name   string
		policy string
		lives  []life
		starts []time.Duration
		state  string
	}{
		{"runs", "no", []life{{d: time.Hour}}, []time.Duration{0}, node.Running},
		{"no, success", "no", []life{{}}, []time.Duration{0}, node.Exited},
		{"no, failure", "no", []life{{status: 1}}, []time.Duration{0}, node.Failed},
		{"on-failure, success", "on-failure", []life{{status: 1}, {}}, []time.Duration{0, 200 * time.Millisecond}, node.Exited},
		{"on-failure:2", "on-failure:2", []life{{status: 1}}, []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond}, node.Failed},
		{"always backs off", "always", []life{{}, {}, {}, {}, {d: time.Hour}},
			[]time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond, 3 * second}, node.Running},
		{"running well resets the back-off", "always", []life{{}, {}, {d: 10 * second}, {d: time.Hour}},
			[]time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 10800 * time.Millisecond}, node.Running},
		{"missing image", "no", []life{{err: fmt.Errorf("x: %w", ErrNoImage)}},
			[]time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond, 3 * second, 6200 * time.Millisecond, 12600 * time.Millisecond}, node.Failed},
		{"an image that comes late", "no", []life{{err: ErrNoImage}, {err: ErrNoImage}, {d: time.Hour}}, []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond}, node.Running},
		{"cannot start, always", "always", []life{{err: errors.New("no such command")}, {d: time.Hour}}, []time.Duration{0, 200 * time.Millisecond}, node.Running},
		{"cannot start, no", "no", []life{{err: errors.New("no such command")}}, []time.Duration{0}, node.Failed},
		{"containerd away, no", "no", []life{{err: fmt.Errorf("x: %w", ErrUnavailable)}, {d: time.Hour}}, []time.Duration{0, 200 * time.Millisecond}, node.Running},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runtime := &fakeRuntime{lives: test.lives, begin: time.Now()}
				got, said := supervise(t, runtime, t.TempDir(), test.policy, 20*second)
				if diff := cmp.Diff(test.starts, runtime.starts); diff != "" {
					t.Errorf("starts (-want +got):\n%s\n%s", diff, said)
				}
				if got.State != test.state {
					t.Errorf("state = %s; want %s\n%s", got.State, test.state, said)
				}
				if !runtime.kept["test"] {
					t.Error("Prune was not told to keep the service")
				}
			})
		})
	}
}

// TestStartIsCutShort: on the way down a start has a grace and no more; one that
// ends within it is stopped as any other.
func TestStartIsCutShort(t *testing.T) {
	for _, test := range []struct {
		name        string
		takes, want time.Duration // from the order to the end of Run
		runs        bool          // the container started, and was stopped
	}{
		{"quick", 5 * time.Second, 5 * time.Second, true},
		{"slow", 50 * time.Second, startGrace, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			runtime := &slowRuntime{takes: test.takes + time.Second}
			s := &Supervisor{
				Runtime: runtime, Logs: logfile.Dir(t.TempDir()), Records: t.TempDir(),
				Say: func(string) {}, Chance: func() float64 { return 0 },
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			begun := time.Now()
			s.Take(&compose.Set{Services: []compose.Service{{Name: "test", Restart: compose.Restart{When: compose.Always}}}})
			s.Run(ctx)
			if took := time.Since(begun) - time.Second; took != test.want || runtime.stopped != test.runs {
				t.Errorf("%s: ended after %v, stopped: %v; want %v, %v", test.name, took, runtime.stopped, test.want, test.runs)
			}
		})
	}
	if whole := startGrace + StopLimit; whole > 35*time.Second {
		t.Errorf("stopping may take %v; PID 1 waits for 40 s", whole)
	}
}

// slowRuntime takes its time to start a container, unless it is cut short.
type slowRuntime struct {
	fakeRuntime
	takes   time.Duration
	stopped bool
}

func (r *slowRuntime) Start(ctx context.Context, _ compose.Service) (Task, error) {
	if !backoff.Sleep(ctx, r.takes) {
		return nil, ctx.Err()
	}
	return slowTask{r}, nil
}

type slowTask struct{ *slowRuntime }

func (slowTask) PID() int { return 42 }

func (t slowTask) Wait(ctx context.Context) (uint32, error) {
	if t.stopped {
		return 143, nil
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

func (t slowTask) Stop(context.Context, time.Duration) error {
	t.slowRuntime.stopped = true
	return nil
}

// TestChecks: an essential service is up when it has run for a while or has done
// its work, and until then it says what is in the way.
func TestChecks(t *testing.T) {
	essential := map[string]string{compose.EssentialLabel: "true"}
	for _, test := range []struct {
		name   string
		policy string
		lives  []life
		after  time.Duration
		reason string // empty: it is up
	}{
		{"up", "always", []life{{d: time.Hour}}, upFor, ""},
		{"just started", "always", []life{{d: time.Hour}}, upFor - time.Second, "running for 2s only"},
		{"done", "no", []life{{}}, time.Second, ""},
		{"failed", "no", []life{{status: 3}}, time.Second, "exited with status 3"},
		{"flapping", "always", []life{{d: time.Second, status: 3}}, 30 * time.Second, "backoff: exited with status 3"},
		{"no image", "always", []life{{err: ErrNoImage}}, time.Second, "failed: " + ErrNoImage.Error()},
	} {
		synctest.Test(t, func(t *testing.T) {
			restart, err := compose.ParseRestart(test.policy)
			if err != nil {
				t.Fatal(err)
			}
			s := &Supervisor{
				Runtime: &fakeRuntime{lives: test.lives, begin: time.Now()}, Logs: logfile.Dir(t.TempDir()), Records: t.TempDir(),
				Say: func(string) {}, Chance: func() float64 { return 0.5 },
			}
			if got := s.Checks(); len(got) != 1 || got[0].Passed || got[0].Reason == "" { // asked too early
				t.Errorf("Checks before the services are known = %+v", got)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.Take(&compose.Set{Services: []compose.Service{{Name: "web", Labels: essential, Restart: restart}}})
				s.Run(ctx)
			}()
			time.Sleep(test.after)
			synctest.Wait()
			want := []pid1.Check{
				{Name: "workloads are known", Passed: true},
				{Name: "workload web is up", Passed: test.reason == "", Reason: test.reason},
			}
			if diff := cmp.Diff(want, s.Checks()); diff != "" {
				t.Errorf("%s: checks (-want +got):\n%s", test.name, diff)
			}
			cancel()
			<-done
		})
	}
	s := &Supervisor{}
	s.units = []*unit{newUnit(s, compose.Service{Name: "other", Labels: map[string]string{compose.EssentialLabel: "yes"}})}
	if got := s.Checks(); len(got) != 1 || !got[0].Passed {
		t.Errorf("Checks without essential services = %+v; want nothing in the way", got)
	}
}

// TestRefused: a workload that was refused is listed, with the reason, and an
// essential one holds the gate closed.
func TestRefused(t *testing.T) {
	set := new(compose.Set)
	set.Add("/etc/a.yaml", []byte("services:\n  x: {image: demo, network_mode: host, ports: ['1:1'], labels: {org.ketch.essential: 'true'}}\n  y: {image: demo, network_mode: host}"))
	set.Add("/etc/b.yaml", []byte("services: {z: {image: demo, network_mode: host}}"))
	s := &Supervisor{}
	s.Take(set)
	const why = "/etc/a.yaml:2: services.x.ports: not supported in this version"
	want := []node.Workload{
		{Name: "a-x", State: node.Refused, File: "/etc/a.yaml", Error: why},
		{Name: "a-y", State: node.Refused, File: "/etc/a.yaml", Error: why},
		{Name: "b-z", State: node.Waiting, File: "/etc/b.yaml", Image: "docker.io/library/demo:latest", Restart: "no"},
	}
	if diff := cmp.Diff(want, s.Status()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	checks := []pid1.Check{{Name: "workloads are known", Passed: true}, {Name: "workload a-x is accepted", Reason: why}}
	if diff := cmp.Diff(checks, s.Checks()); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

// Ending the supervisor stops what runs.
func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime := &fakeRuntime{lives: []life{{d: time.Hour}}, begin: time.Now()}
		supervise(t, runtime, t.TempDir(), "always", time.Second)
		if runtime.task != nil || len(runtime.starts) != 1 {
			t.Errorf("after the end: task %v, %d starts; want none running, 1 start", runtime.task, len(runtime.starts))
		}
	})
}

// A supervisor that begins where a killed one has left off adopts what runs,
// and remembers what is done.
func TestAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := t.TempDir()
		runtime := &fakeRuntime{lives: []life{{d: time.Hour}}, begin: time.Now(), adopts: []error{ErrUnavailable}}
		runtime.Start(t.Context(), compose.Service{})
		record{Restarts: 3}.save(records, "test")
		got, said := supervise(t, runtime, records, "always", time.Second)
		want := node.Workload{Name: "test", State: node.Running, Image: "demo", Restart: "always", PID: 42, Restarts: 3}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(node.Workload{}, "Since")); diff != "" {
			t.Errorf("status (-want +got):\n%s\n%s", diff, said)
		}
		if len(runtime.starts) != 1 {
			t.Errorf("%d starts; want only that of the first supervisor", len(runtime.starts))
		}
	})
}

func TestDoneIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := t.TempDir()
		runtime := &fakeRuntime{lives: []life{{status: 3}}, begin: time.Now()}
		supervise(t, runtime, records, "no", time.Second)
		got, _ := supervise(t, runtime, records, "no", time.Second)
		if len(runtime.starts) != 1 || got.State != node.Failed || got.Exit == nil || *got.Exit != 3 {
			t.Errorf("%d starts, status %+v; want one start, failed with 3", len(runtime.starts), got)
		}
	})
}

// The record of an earlier ketchd may be damaged.
func TestBadRecord(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(recordPath(dir, "test"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadRecord(dir, "test"); err == nil {
		t.Error("loadRecord of half a record = nil; want an error")
	}
}

func TestConsole(t *testing.T) {
	logs := logfile.Dir(t.TempDir())
	path, _ := logs.Path("test")
	if err := os.WriteFile(path, []byte("from an earlier boot\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &Supervisor{
		Runtime: &fakeRuntime{lives: []life{{d: time.Hour}}}, Logs: logs, Records: t.TempDir(), Console: writer,
		Say: func(string) {}, Chance: func() float64 { return 0 },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Take(&compose.Set{Services: []compose.Service{{Name: "test", Labels: map[string]string{compose.ConsoleLabel: "true"}, Restart: compose.Restart{When: compose.Never}}}})
		s.Run(ctx)
	}()
	// The service has started once the log was looked at for where its output begins.
	testkit.Eventually(t, "the service runs", func() bool {
		all := s.Status()
		return len(all) == 1 && all[0].State == node.Running
	})
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(file, "hello")
	file.Close()
	line := make([]byte, 100)
	reader.SetReadDeadline(time.Now().Add(testkit.HangLimit))
	n, err := reader.Read(line)
	if got := string(line[:n]); got != "test: hello\n" || err != nil {
		t.Errorf("console got %q, %v; want %q", got, err, "test: hello\n")
	}
	cancel()
	<-done
}

// TestHold: what is not essential starts when the time is over, what is at once.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime := &heldRuntime{begin: time.Now(), starts: map[string]time.Duration{}}
		s := &Supervisor{
			Runtime: runtime, Logs: logfile.Dir(t.TempDir()), Records: t.TempDir(),
			Say: func(string) {}, Chance: func() float64 { return 0.5 }, Hold: func() time.Duration { return time.Minute },
		}
		s.Take(&compose.Set{Services: []compose.Service{
			{Name: "essential", Labels: map[string]string{compose.EssentialLabel: "true"}}, {Name: "other"},
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		time.Sleep(time.Second)
		if got := s.Status()[1]; got.State != node.Waiting || !strings.Contains(got.Error, "held back") {
			t.Errorf("the other service is %s (%s); want it held back", got.State, got.Error)
		}
		time.Sleep(time.Hour)
		cancel()
		<-done
		want := map[string]time.Duration{"essential": 0, "other": time.Minute}
		if diff := cmp.Diff(want, runtime.starts); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}

// heldRuntime notes when each service was started first. Its processes end at once.
type heldRuntime struct {
	mu     sync.Mutex
	begin  time.Time
	starts map[string]time.Duration
}

func (*heldRuntime) Adopt(context.Context, compose.Service) (Task, error) { return nil, nil }
func (*heldRuntime) Prune(context.Context, map[string]bool) error         { return nil }
func (r *heldRuntime) Start(_ context.Context, s compose.Service) (Task, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts[s.Name] = time.Since(r.begin)
	return nil, errors.New("it is enough to have tried")
}
