package reaper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// asPID1 runs the calling test again as PID 1 of new PID and mount namespaces.
// It returns true inside.
func asPID1(t *testing.T) bool {
	t.Helper()
	return testkit.InNamespaces(t, unix.CLONE_NEWPID|unix.CLONE_NEWNS)
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
	testkit.Alone(t)
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
}

// TestRunIsBounded: neither a tool that takes too long nor one that leaves somebody
// behind with its output keeps PID 1 waiting.
func TestRunIsBounded(t *testing.T) {
	if !asPID1(t) {
		return
	}
	r := New(&kmsg.Log{})
	const script = "echo busy; sleep 600 & wait"
	// On a busy host the shell may take a while to say something.
	for limit, busy := 200*time.Millisecond, false; !busy; limit *= 2 {
		start := time.Now()
		out, err := r.Run(limit, "/bin/sh", "-c", script)
		busy = out == "busy"
		want := fmt.Sprintf("run sh: not done within %v: signal: killed%s", limit, lastLine(out))
		if took := time.Since(start); err == nil || err.Error() != want || took > 5*time.Minute {
			t.Errorf("Run(%q) = %v after %v; want %q", script, err, took, want)
		}
	}
	start := time.Now()
	out, err := r.Run(5*time.Minute, "/bin/sh", "-c", "sleep 600 & echo left one")
	if took := time.Since(start); err != nil || out != "left one" || took > 5*time.Minute {
		t.Errorf("Run of a tool that leaves somebody with its output = %q, %v after %v", out, err, took)
	}
}

// TestRunClears: what a tool starts in its control group ends with the tool.
func TestRunClears(t *testing.T) {
	groups := cgroup.Group(testkit.Cgroup(t))
	r := theReaper()
	r.Confine(groups)
	defer r.Confine("")
	out, err := r.Run(time.Minute, "/bin/sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!; cat /proc/self/cgroup")
	if err != nil || !strings.Contains(out, groups.Name()+"/") { // numbered, over all runs of this process
		t.Fatalf("Run = %q, %v; want it in a group of its own", out, err)
	}
	left, _, _ := strings.Cut(out, "\n")
	// Nobody may have collected it yet, but it is dead.
	if stat, err := os.ReadFile("/proc/" + left + "/stat"); err == nil && !strings.Contains(string(stat), "(sleep) Z") {
		t.Errorf("process %s outlives the tool that started it", left)
	}
	if children, _ := groups.Children(); len(children) > 0 {
		t.Errorf("groups left: %v", children)
	}
}

// theReaper is the one that this process may have.
var theReaper = sync.OnceValue(func() *Reaper { return New(&kmsg.Log{}) })

// TestScore: a child has its score from its first moment, and so has what it starts;
// the reaper's own process keeps its.
func TestScore(t *testing.T) {
	own, err := oomScore()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	script := "cat /proc/self/oom_score_adj; sh -c 'cat /proc/self/oom_score_adj'"
	child, err := theReaper().StartScored(700, "/bin/sh", []string{"sh", "-c", script}, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{nil, write, write},
	})
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(read); string(got) != "700\n700\n" {
		t.Errorf("scores of child and grandchild: %q; want 700 both", got)
	}
	if err := child.Err(); err != nil {
		t.Error(err)
	}
	if now, err := oomScore(); now != own || err != nil {
		t.Errorf("own score = %d, %v; want %d as before", now, err, own)
	}
}

// TestStormLeavesTheLock: children can be started, and liveness is seen, while
// orphans end faster than anybody could count.
func TestStormLeavesTheLock(t *testing.T) {
	if !asPID1(t) {
		return
	}
	r := New(&kmsg.Log{})
	storm := "i=0; while [ $i -lt 3000 ]; do (true &) ; i=$((i+1)); done"
	var storms []*Child
	for range 2 {
		child, err := r.Start("/bin/sh", []string{"sh", "-c", storm}, &os.ProcAttr{Env: os.Environ()})
		if err != nil {
			t.Fatal(err)
		}
		storms = append(storms, child)
	}
	for range 20 {
		child, err := r.Start("/bin/sh", []string{"sh", "-c", "exit 7"}, &os.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Alive(); err != nil {
			t.Error(err)
		}
		if got := code(child.Err()); got != 7 {
			t.Errorf("a child in the storm ended with %d; want 7", got)
		}
	}
	select {
	case <-storms[0].Done():
		t.Error("children had to wait until the storm was over")
	default:
	}
	for _, child := range storms {
		if err := child.Err(); err != nil {
			t.Error(err)
		}
	}
	testkit.Alone(t)
}

// TestAliveNotices a process that nobody collects, and only one that stays so.
func TestAliveNotices(t *testing.T) {
	r := &Reaper{}
	now := time.Now()
	for _, look := range []struct {
		after time.Duration
		pid   int
		err   error
		alive bool
	}{
		{0, 7, nil, true}, {uncollected, 7, nil, true}, {uncollected + time.Second, 7, nil, false},
		{uncollected + 2*time.Second, 8, nil, true}, {2*uncollected + 3*time.Second, 0, nil, true},
		{3*uncollected + 9*time.Second, 7, nil, true}, {4 * uncollected, 0, unix.ECHILD, true}, {4 * uncollected, 0, unix.EINVAL, false},
	} {
		err := r.check(now.Add(look.after), func() (int, error) { return look.pid, look.err })
		if (err == nil) != look.alive {
			t.Errorf("after %v with %d, %v: %v; want alive: %v", look.after, look.pid, look.err, err, look.alive)
		}
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
