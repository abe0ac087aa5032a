package gate

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/layout/gatefile"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// holds is a check that can be switched.
type holds struct{ yes atomic.Bool }

func (h *holds) check() error {
	if !h.yes.Load() {
		return errors.New("starting")
	}
	return nil
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up holds
		g := &Gate{Deadline: time.Second, Checks: []Check{
			{"containerd serves", func() error { return nil }},
			{"ketchd is ready", up.check},
		}}
		if report := g.Report(); len(report) != 2 || report[0].Passed || report[0].Reason != "not checked yet" {
			t.Errorf("report before the first look = %+v", report)
		}
		err := g.Wait(30*time.Millisecond, nil)
		if want := "not good within 1s: ketchd is ready: starting"; err == nil || err.Error() != want {
			t.Errorf("Wait = %v; want %s", err, want)
		}
		report := g.Report()
		if !report[0].Passed || report[0].After == 0 || report[1].Passed || report[1].Reason != "starting" {
			t.Errorf("report = %+v; want containerd passed, ketchd starting", report)
		}
		time.AfterFunc(30*time.Millisecond, func() { up.yes.Store(true) })
		if err := g.Wait(10*time.Second, nil); err != nil {
			t.Errorf("Wait = %v", err)
		}
		again := g.Report()
		if !again[1].Passed || again[1].Reason != "" || again[0].After != report[0].After {
			t.Errorf("report = %+v; want all passed, the first since %v", again, report[0].After)
		}
	})
}

// TestSources: they are asked when all else holds, and all must hold at once.
func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up, front holds
		var asked atomic.Int32
		g := &Gate{
			Checks: []Check{{"ketchd is ready", up.check}},
			Sources: []Source{
				func() []pid1.Check { asked.Add(1); return []pid1.Check{result("front page", front.check())} },
				func() []pid1.Check { return []pid1.Check{result("database", nil)} },
			},
		}
		if g.Wait(50*time.Millisecond, nil) == nil || asked.Load() > 0 {
			t.Errorf("sources were asked %d times while ketchd was not ready", asked.Load())
		}
		up.yes.Store(true)
		if err := g.Wait(time.Second, nil); err == nil || !strings.Contains(err.Error(), "front page: starting") {
			t.Errorf("Wait = %v; want the front page named", err)
		}
		up.yes.Store(false)
		g.Wait(50*time.Millisecond, nil)
		want := []pid1.Check{
			{Name: "ketchd is ready", Reason: "starting"}, {Name: "front page", Reason: "starting"}, {Name: "database", Passed: true},
		}
		if diff := cmp.Diff(want, g.Report(), cmpopts.IgnoreFields(pid1.Check{}, "After")); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
		up.yes.Store(true)
		front.yes.Store(true)
		if err := g.Wait(10*time.Second, nil); err != nil {
			t.Errorf("Wait = %v", err)
		}
	})
}

// TestAHangingCheckIsBounded: the deadline does not wait for an answer.
func TestAHangingCheckIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		g := &Gate{Sources: []Source{func() []pid1.Check { <-release; return nil }}}
		start := time.Now()
		err := g.Wait(20*time.Millisecond, nil)
		if err == nil || !strings.HasSuffix(err.Error(), "a check does not answer") || time.Since(start) != 20*time.Millisecond {
			t.Errorf("Wait = %v after %v; want the deadline to count", err, time.Since(start))
		}
	})
}

// TestALateDeadline: the reasons are those of the moment, even when there was none
// to look before it.
func TestALateDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Deadline: time.Minute, Checks: []Check{{"containerd serves", func() error { return errors.New("degraded: exit status 1") }}}}
		err := g.Wait(-time.Second, nil)
		if want := "not good within 1m0s: containerd serves: degraded: exit status 1"; err == nil || err.Error() != want {
			t.Errorf("Wait = %v; want %s", err, want)
		}
	})
}

func TestWaitStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		close(stop)
		g := &Gate{Checks: []Check{{"never", func() error { return errors.New("no") }}}}
		if err := g.Wait(time.Minute, stop); !errors.Is(err, ErrStopped) {
			t.Errorf("Wait = %v; want ErrStopped", err)
		}
	})
}

// theReaper is the one that this process may have, however often its tests run.
var theReaper = sync.OnceValue(func() *reaper.Reaper { return reaper.New(&kmsg.Log{}) })

// TestCommands: the exit status counts, and the last line is the reason.
func TestCommands(t *testing.T) {
	source := Commands(theReaper(), []gatefile.Check{
		{Name: "well", Command: []string{"/bin/true"}},
		{Name: "ill", Command: []string{"/bin/sh", "-c", "echo checking; echo no space; exit 3"}},
		{Name: "front page", HTTP: "http://127.0.0.1/"},
		{Name: "absent", Command: []string{"/no/such/program"}},
	})
	want := []pid1.Check{
		{Name: "command well", Passed: true},
		{Name: "command ill", Reason: "run sh: exit status 3: no space"},
		{Name: "command absent", Reason: "run program: start program: fork/exec /no/such/program: no such file or directory"},
	}
	if diff := cmp.Diff(want, source()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestKetchd(t *testing.T) {
	const name = "ketchd looks after its checks"
	for answer, want := range map[string][]pid1.Check{
		`{"checks":[{"name":"workload a","passed":true},{"name":"http b","reason":"refused"}]}`: {
			{Name: name, Passed: true}, {Name: "workload a", Passed: true}, {Name: "http b", Reason: "refused"}},
		`{"checks":[]}`: {{Name: name, Passed: true}},
		`{"checks":`:    {{Name: name, Reason: "decode ketchd's checks: unexpected end of JSON input"}},
		"":              {{Name: name, Reason: "get /v1/gate: 404 Not Found: 404 page not found"}},
	} {
		path := filepath.Join(t.TempDir(), "s")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		if answer != "" {
			mux.HandleFunc("GET /v1/gate", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answer) })
		}
		go http.Serve(listener, mux)
		if diff := cmp.Diff(want, Ketchd(path, strict)()); diff != "" {
			t.Errorf("answer %q (-want +got):\n%s", answer, diff)
		}
		listener.Close()
		if got := Ketchd(path, strict)(); len(got) != 1 || got[0].Passed || !strings.Contains(got[0].Reason, path) {
			t.Errorf("without ketchd: %+v; want the reason", got)
		}
	}
}

// strict is a machine that has a better version to go back to.
func strict() bool { return false }

// TestExcused: what ketchd excuses holds the gate only while there is a better version.
func TestExcused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/gate", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"checks":[{"name":"a","reason":"no space","excused":"full"},{"name":"b","reason":"refused"}]}`)
	})
	go http.Serve(listener, mux)
	for _, alone := range []bool{true, false} {
		got := Ketchd(path, func() bool { return alone })()
		if len(got) != 3 || got[1].Passed != alone || got[1].Reason != "no space" || got[2].Passed {
			t.Errorf("alone %v: checks %+v; want the excused one to hold: %v", alone, got, alone)
		}
	}
}

func TestOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine.New()
		m.Version, m.RootHash = "1.0", "ab"
		g := &Gate{Deadline: time.Minute, Checks: []Check{{"never", func() error { return errors.New("no") }}}}
		fault := g.Wait(20*time.Millisecond, nil)
		path := filepath.Join(t.TempDir(), "ketch", "gate.json")
		for range 2 { // the second replaces the first
			if err := Save(path, g.Outcome(m, fault)); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got pid1.GateReport
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if time.Since(got.Time) > time.Minute || got.After == 0 {
			t.Errorf("decided at %v, after %v s; want now", got.Time, got.After)
		}
		got.Time, got.After = time.Time{}, 0
		want := pid1.GateReport{
			Version: "1.0", RootHash: "ab", Deadline: 60, Outcome: pid1.GateFailed,
			Checks: []pid1.Check{{Name: "never", Reason: "no"}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
		if got := g.Outcome(m, nil).Outcome; got != pid1.GateGood {
			t.Errorf("outcome = %s; want good", got)
		}
		if err := Save("/proc/no/such/file", &got); err == nil {
			t.Error("Save where nothing can be = nil; want an error")
		}
	})
}
