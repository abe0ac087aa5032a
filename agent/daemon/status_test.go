package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
)

// initSocket plays PID 1: it answers each connection with reply.
func initSocket(t *testing.T, reply *pid1.Reply) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "init.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var ask pid1.Request
			if pid1.ReadLine(bufio.NewReader(conn), &ask) == nil && reply != nil {
				pid1.WriteLine(conn, reply)
				conn.Close()
			}
		}
	}()
	return path
}

func TestAskInit(t *testing.T) {
	got, err := askInit(t.Context(), initSocket(t, &pid1.Reply{Status: &pid1.Status{Version: "1.0"}}))
	if err != nil || got.Version != "1.0" {
		t.Errorf("askInit = %+v, %v; want version 1.0", got, err)
	}
	if _, err := askInit(t.Context(), initSocket(t, &pid1.Reply{Error: "no"})); err == nil {
		t.Error("askInit of a PID 1 that refuses = nil; want an error")
	}
	if _, err := askInit(t.Context(), initSocket(t, &pid1.Reply{})); err == nil {
		t.Error("askInit of a PID 1 that says nothing = nil; want an error")
	}
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := askInit(limited, initSocket(t, nil)); err == nil {
		t.Error("askInit of a PID 1 that hangs = nil; want an error in time")
	}
}

func TestJudge(t *testing.T) {
	exit := uint32(2)
	got := judge(&node.Status{
		System: &pid1.Status{
			Degraded: []string{"state partition: not found"},
			Services: []pid1.Service{{Name: "a", State: pid1.StateReady}, {Name: "b", State: pid1.StateBackoff, LastExit: "signal: killed"}},
		},
		Workloads: []node.Workload{
			{Name: "runs", State: node.Running}, {Name: "done", State: node.Exited},
			{Name: "failed", State: node.Failed, Exit: &exit}, {Name: "lost", State: node.Unknown, Error: "no containerd"},
		},
	})
	want := []string{
		"state partition: not found", "service b: backoff (signal: killed)",
		"workload failed: failed (exited with status 2)", "workload lost: unknown (no containerd)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("judge (-want +got):\n%s", diff)
	}
}

func TestProblem(t *testing.T) {
	var console strings.Builder
	n := &Node{console: &lines{w: &console}}
	several := errors.Join(errors.New("a"), errors.Join(errors.New("b"), fmt.Errorf("c: %w", errors.Join(errors.New("d"), errors.New("e")))))
	for _, step := range []struct {
		subject string
		err     error
		want    []problem
		said    int // lines so far
	}{
		{"read", several, []problem{{"read", "read: a"}, {"read", "read: b"}, {"read", "read: c: d; e"}}, 3},
		{"import", errors.New("x"), []problem{{"read", "read: a"}, {"read", "read: b"}, {"read", "read: c: d; e"}, {"import", "import: x"}}, 4},
		{"read", errors.New("b"), []problem{{"import", "import: x"}, {"read", "read: b"}}, 4}, // not news
		{"import", nil, []problem{{"read", "read: b"}}, 4},
		{"read", nil, []problem{}, 4},
	} {
		n.problem(step.subject, step.err)
		if diff := cmp.Diff(step.want, n.problems, cmp.AllowUnexported(problem{})); diff != "" {
			t.Errorf("problems after %s: %v (-want +got):\n%s", step.subject, step.err, diff)
		}
		if got := strings.Count(console.String(), "error: "); got != step.said {
			t.Errorf("after %s: %v: console = %q; want %d errors", step.subject, step.err, console.String(), step.said)
		}
	}
}

// TestImportIsRetried: what containerd's absence delays is done as soon as it is
// back; what fails is tried ever more rarely, and no longer a problem once it works.
func TestImportIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.Join(errdefs.ErrUnavailable, errors.New("ask containerd"))
		outcomes := []error{away, away, errors.New("no space"), errors.New("no space"), away, nil}
		begun, attempts, tried := time.Now(), []time.Duration{}, 0
		n := &Node{console: io.Discard}
		n.importImages(t.Context(), func(context.Context) error {
			attempts = append(attempts, time.Since(begun))
			if err := outcomes[len(attempts)-1]; err != nil {
				return err
			}
			if want := []problem{{"import images", "import images: no space"}}; !slices.Equal(n.problems, want) {
				t.Errorf("problems while it fails = %v; want %v", n.problems, want)
			}
			return nil
		}, func() { tried++ })
		const ms, second = time.Millisecond, time.Second
		want := []time.Duration{0, 500 * ms, second, 6 * second, 16 * second, 16*second + 500*ms}
		if diff := cmp.Diff(want, attempts); diff != "" || tried != 3 || len(n.problems) > 0 {
			t.Errorf("tried told %d times, problems %v; attempts (-want +got):\n%s", tried, n.problems, diff)
		}
	})
}

// TestImportEnds: a machine that goes down waits for no image.
func TestImportEnds(t *testing.T) {
	for _, err := range []error{errdefs.ErrUnavailable, errors.New("bad layout")} {
		ctx, cancel := context.WithCancel(t.Context())
		n := &Node{console: io.Discard}
		n.importImages(ctx, func(context.Context) error { cancel(); return err }, func() {})
	}
}
