package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ketch/agent/api"
	"ketch/layout/status"
)

// initSocket plays PID 1: it answers each connection with reply.
func initSocket(t *testing.T, reply *status.Reply) string {
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
			var ask status.Request
			if status.ReadLine(bufio.NewReader(conn), &ask) == nil && reply != nil {
				status.WriteLine(conn, reply)
				conn.Close()
			}
		}
	}()
	return path
}

func TestAskInit(t *testing.T) {
	got, err := askInit(t.Context(), initSocket(t, &status.Reply{Status: &status.Status{Version: "1.0"}}))
	if err != nil || got.Version != "1.0" {
		t.Errorf("askInit = %+v, %v; want version 1.0", got, err)
	}
	if _, err := askInit(t.Context(), initSocket(t, &status.Reply{Error: "no"})); err == nil {
		t.Error("askInit of a PID 1 that refuses = nil; want an error")
	}
	if _, err := askInit(t.Context(), initSocket(t, &status.Reply{})); err == nil {
		t.Error("askInit of a PID 1 that says nothing = nil; want an error")
	}
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := askInit(limited, initSocket(t, nil)); err == nil {
		t.Error("askInit of a PID 1 that hangs = nil; want an error in time")
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory(strings.NewReader("MemTotal:         500000 kB\nMemFree:  100 kB\nMemAvailable:     420000 kB\nHugePages_Total:       0\n"))
	if want := (status.Memory{TotalKiB: 500000, AvailableKiB: 420000, UsedKiB: 80000}); got != want || err != nil {
		t.Errorf("parseMemory = %+v, %v; want %+v", got, err, want)
	}
	for _, text := range []string{"", "MemTotal: 5 kB\n", "MemTotal: x kB\nMemAvailable: 5 kB\n"} {
		if _, err := parseMemory(strings.NewReader(text)); err == nil {
			t.Errorf("parseMemory(%q) = nil; want an error", text)
		}
	}
	if _, err := memory("/proc/meminfo"); err != nil {
		t.Error(err)
	}
}

func TestJudge(t *testing.T) {
	exit := uint32(2)
	got := judge(&api.Status{
		System: &status.Status{
			Degraded: []string{"state partition: not found"},
			Services: []status.Service{{Name: "a", State: status.StateReady}, {Name: "b", State: status.StateBackoff, LastExit: "signal: killed"}},
		},
		Workloads: []api.Workload{
			{Name: "runs", State: api.Running}, {Name: "done", State: api.Exited},
			{Name: "failed", State: api.Failed, Exit: &exit}, {Name: "lost", State: api.Unknown, Error: "no containerd"},
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
	n.problem("read", errors.Join(errors.New("a"), errors.Join(errors.New("b"), fmt.Errorf("c: %w", errors.Join(errors.New("d"), errors.New("e"))))))
	want := []string{"read: a", "read: b", "read: c: d; e"}
	if diff := cmp.Diff(want, n.problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if got := strings.Count(console.String(), "error: read: "); got != 3 {
		t.Errorf("console = %q; want three errors", console.String())
	}
}
