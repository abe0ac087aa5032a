package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ketch-os/ketch/agent/api"
	"github.com/ketch-os/ketch/agent/lastrun"
	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/node/client"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/layout"
)

// serve runs a ketchd's API over what is given, and returns a way to call ketchctl on it.
func serve(t *testing.T, s *node.Status, logs map[string]string) func(args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range logs {
		if err := os.WriteFile(filepath.Join(dir, name+".log"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	usr := fstest.MapFS{strings.TrimPrefix(layout.ImageInfo, "/usr/"): {Data: []byte(`{"name":"demo","version":"1.2.3"}`)}}
	socket := filepath.Join(dir, "ketchd.sock")
	listener, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := &api.Server{
		Status:   func(context.Context) *node.Status { return s },
		Previous: func() (*pid1.Previous, error) { return lastrun.Judge(previousRun(), &pid1.Run{}), nil },
		Platform: examplePlatform,
		Config:   exampleConfig,
		Logs:     logfile.Dir(dir),
	}
	go func() { done <- server.Serve(ctx, listener) }()
	t.Cleanup(func() { cancel(); <-done })
	return func(args ...string) (string, error) {
		var out, errs strings.Builder
		status := cli.Run(t.Context(), program(machine{client.New(socket), filepath.Join(dir, "init.sock"), usr}), args, cli.Streams{Out: &out, Err: &errs})
		if status != 0 {
			return out.String(), fmt.Errorf("exit status %d: %s", status, &errs)
		}
		return out.String(), nil
	}
}

func example() *node.Status {
	exit := uint32(1)
	return &node.Status{
		State:    node.Degraded,
		Hostname: "web-1",
		Problems: []string{"workload demo-web: failed (exited with status 1)"},
		System: &pid1.Status{
			Version: "1.2.3", Development: true, SecureBoot: true, Uptime: 93.4, Ready: true, Good: true, Disk: "vda", Slot: "A", Entry: "ketch_1.2.3+2-1.efi",
			Services: []pid1.Service{{Name: "containerd", State: pid1.StateReady, PID: 80}, {Name: "ketchd", State: pid1.StateBackoff, Restarts: 2, LastExit: "signal: killed", Reason: "signal: killed", Lines: []string{"one", "out\tof memory"}}},
			Gate:     []pid1.Check{{Name: "containerd serves", Passed: true, After: 1.9}, {Name: "ketchd is ready", Reason: "it is not"}},
			Boot:     pid1.Boot{ReadyUsec: 1_900_000, GoodUsec: 3_200_000},
		},
		Memory: pid1.Memory{TotalKiB: 487 << 10, AvailableKiB: 416 << 10, UsedKiB: 71 << 10},
		Clock: &node.Clock{Synchronised: true, Last: &lastAsked, OffsetUsec: -1500, Frequency: 12.34, Servers: []node.ClockServer{
			{Name: "192.0.2.123", From: "DHCP", Agrees: true, OffsetUsec: -1500, DelayUsec: 900, Stratum: 2},
			{Name: "time.example", From: "DHCP", Error: "no answer within 2s"}}},
		Listening: []node.Socket{{Protocol: "tcp", Address: "[::]:22", Program: "ketch-sshd"}},
		Links:     []node.Link{{Name: "eth0", Addresses: []string{"10.0.2.15/24", "fe80::1/64"}, DHCP: "bound until 2026-01-01T00:00:00Z", DNS: []string{"10.0.2.3"}}},
		Workloads: []node.Workload{{Name: "demo-hello", State: node.Running, PID: 99, Image: "docker.io/library/demo:latest"}, {Name: "demo-web", State: node.Failed, Exit: &exit, Image: "docker.io/library/web:1"}},
		Images:    []node.Image{{Name: "docker.io/library/demo:latest", Digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Size: 5 << 20}},
	}
}

var lastAsked = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

const shown = `machine      web-1
state        degraded
version      1.2.3, signed with development keys
secure boot  on
boot         up 1m33s, runtime-ready after 1.9 s, good after 3.2 s
entry        ketch_1.2.3+2-1.efi on vda, slot A
memory       71 MiB in use of 487 MiB
problem      workload demo-web: failed (exited with status 1)
clock        synchronised at 2026-11-30 12:00:00 UTC: was off by -1.500 ms, rate corrected by 12.3 ppm

TIME SERVER   FROM  AGREES  OFFSET     DELAY     STRATUM  ERROR
192.0.2.123   DHCP  yes     -1.500 ms  0.900 ms  2        -
time.example  DHCP  no      0.000 ms   0.000 ms  -        no answer within 2s

LINK  ADDRESSES                DHCP                              DNS
eth0  10.0.2.15/24 fe80::1/64  bound until 2026-01-01T00:00:00Z  10.0.2.3

LISTENS ON  PROTOCOL  PROGRAM
[::]:22     tcp       ketch-sshd

SERVICE     STATE    PID  RESTARTS  LAST EXIT
containerd  ready    80   0         -
ketchd      backoff  -    2         signal: killed

ketchd, backoff: signal: killed
    one
    out of memory

HEALTH GATE        PASSED       REASON
containerd serves  after 1.9 s  -
ketchd is ready    no           it is not

WORKLOAD    STATE    PID  RESTARTS  LAST EXIT      IMAGE
demo-hello  running  99   0         -              docker.io/library/demo:latest
demo-web    failed   -    0         exit status 1  docker.io/library/web:1

IMAGE                          DIGEST               SIZE
docker.io/library/demo:latest  sha256:0123456789ab  5.0 MiB
`

func TestStatus(t *testing.T) {
	ketchctl := serve(t, example(), nil)
	if got, err := ketchctl("status"); got != shown || err != nil {
		t.Errorf("status = %v\n%s\nwant\n%s", err, got, shown)
	}
	got, err := ketchctl("status", "--json")
	var decoded node.Status
	if err != nil || json.Unmarshal([]byte(got), &decoded) != nil || decoded.Workloads[0].Name != "demo-hello" {
		t.Errorf("status --json = %q, %v; want a Status", got, err)
	}
}

func TestStatusWithoutPID1(t *testing.T) {
	ketchctl := serve(t, &node.Status{State: node.Degraded, Problems: []string{"ask PID 1: no such file"}}, nil)
	got, err := ketchctl("status")
	if err != nil || !strings.Contains(got, "ask PID 1") {
		t.Errorf("status = %q, %v; want the problem in it", got, err)
	}
	if strings.Contains(got, "\n\n") {
		t.Errorf("status =\n%s\nwant no table without a row", got)
	}
}

func TestPendingChecks(t *testing.T) {
	gate := []pid1.Check{{Name: "containerd serves", Passed: true}, {Name: "ketchd is ready", Reason: "it is not"}, {Name: "demo-web runs"}}
	if got, want := pendingChecks(gate), "ketchd is ready: it is not; demo-web runs"; got != want {
		t.Errorf("pendingChecks = %q; want %q", got, want)
	}
}

func TestLogs(t *testing.T) {
	ketchctl := serve(t, nil, map[string]string{"demo-hello": "one\ntwo\nthree\n"})
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"logs", "demo-hello"}, "one\ntwo\nthree\n"},
		{[]string{"logs", "-n", "1", "demo-hello"}, "three\n"},
		{[]string{"logs", "demo-hello", "-n=2"}, "two\nthree\n"},
	} {
		if got, err := ketchctl(test.args...); got != test.want || err != nil {
			t.Errorf("%q = %q, %v; want %q", test.args, got, err, test.want)
		}
	}
}

func TestErrors(t *testing.T) {
	ketchctl := serve(t, &node.Status{}, map[string]string{"demo-hello": ""})
	for _, test := range []struct {
		args       []string
		want, hint string
	}{
		{nil, "exit status 2: ketchctl shows", "ketchctl status "},
		{[]string{"frobnicate"}, `exit status 2: error: unknown command "frobnicate"`, "see: ketchctl --help"},
		{[]string{"statsu"}, `unknown command "statsu"`, "did you mean ketchctl status?"},
		{[]string{"status", "x"}, `what is "x" for`, "see: ketchctl status --help"},
		{[]string{"boot", "x"}, `what is "x" for`, "--help"},
		{[]string{"memory", "-q"}, "-q", "see: ketchctl memory --help"},
		{[]string{"logs", "-f"}, "which one", "--help"},
		{[]string{"logs", "a", "b"}, "want at most one name; got 2", "--help"},
		{[]string{"logs", "--json", "demo-hello"}, "--json is for", "--help"},
		{[]string{"boot"}, "exit status 1: error: boot: PID 1 does not answer", "boot.json"},
		{[]string{"logs", "--frob", "x"}, "frob", "--help"},
		{[]string{"logs", "--folow", "x"}, "--folow", "did you mean --follow?"},
		{[]string{"logs", "demo"}, "no log of demo", "logs of demo-hello"},
	} {
		_, err := ketchctl(test.args...)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.hint) {
			t.Errorf("%q = %v; want %q and %q", test.args, err, test.want, test.hint)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	ketchctl := serve(t, nil, nil)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--help"}, "  ketchctl logs [NAME]"},
		{[]string{"help"}, "  ketchctl logs [NAME]"},
		{[]string{"status", "-h"}, "usage: ketchctl status\n"},
		{[]string{"help", "logs"}, "-n, --lines N "},
		{[]string{"boot", "-h"}, "--previous"},
		{[]string{"memory", "--help"}, "--json"},
	} {
		if got, err := ketchctl(test.args...); err != nil || !strings.Contains(got, test.want) {
			t.Errorf("%q = %q, %v; want %q in it", test.args, got, err, test.want)
		}
	}
	if got, err := ketchctl("version"); !strings.HasPrefix(got, "version  1.2.3\n") || !strings.Contains(got, "\nkernel ") || err != nil {
		t.Errorf("version = %q, %v; want 1.2.3 and the kernel", got, err)
	}
	var v cli.Version
	if got, err := ketchctl("version", "--json"); err != nil || json.Unmarshal([]byte(got), &v) != nil || v.Version != "1.2.3" || v.Go == "" {
		t.Errorf("version --json = %q, %v; want 1.2.3 and Go", got, err)
	}
}

// TestForgedStatus: names and words come from disks, networks and containers; none
// of them writes a line of its own, or reaches the terminal as more than text.
func TestForgedStatus(t *testing.T) {
	const forged = "x\nstate\thealthy\r\x1b[2J\u009b2J\u202e"
	status := &node.Status{
		State: node.Degraded, Hostname: forged, Problems: []string{forged},
		System: &pid1.Status{
			Version: forged, Entry: forged, Disk: forged, GoingDown: forged,
			Record:   &pid1.Record{Why: forged, Versions: []pid1.RecordedVersion{{Version: forged, Words: forged, GoodAt: forged}}},
			Services: []pid1.Service{{Name: forged, State: pid1.StateBackoff, LastExit: forged, Reason: forged, Lines: []string{forged}}},
			Gate:     []pid1.Check{{Name: forged, Reason: forged}},
			Boot:     pid1.Boot{PID1Usec: 1, Steps: []pid1.Step{{Stage: forged, Name: forged, Error: forged}}},
		},
		Links:     []node.Link{{Name: forged, Addresses: []string{forged}, DHCP: forged, DNS: []string{forged}}},
		Workloads: []node.Workload{{Name: forged, State: node.Refused, Error: forged, Image: forged}},
		Images:    []node.Image{{Name: forged, Digest: forged}},
	}
	ketchctl := serve(t, status, nil)
	for _, args := range [][]string{{"status"}, {"boot"}, {"status", "--json"}, {"boot", "--json"}} {
		got, err := ketchctl(args...)
		if err != nil {
			t.Errorf("%q = %v", args, err)
		}
		for line := range strings.Lines(got) {
			if strings.Contains(line, "healthy") && strings.HasPrefix(line, "state") || strings.ContainsAny(line, "\r\x1b\u009b\u202e") {
				t.Errorf("%q: something from outside has written %q", args, line)
			}
		}
	}
	var out strings.Builder
	run := &pid1.Run{Version: forged, RootHash: forged, Entry: forged, Fatal: forged, Gate: &pid1.GateReport{Checks: status.System.Gate}}
	err := showPrevious(&out, &pid1.Previous{End: pid1.EndPanic, Reason: forged, Run: run, LastWords: forged, Crashes: []pid1.Crash{{Kind: forged, Reason: forged, Path: forged}}})
	before, _, _ := strings.Cut(out.String(), "LAST WORDS")
	for line := range strings.Lines(before) {
		if err != nil || strings.HasPrefix(line, "state") || strings.ContainsAny(line, "\r\x1b\u009b\u202e") {
			t.Errorf("status --previous: %v: something from outside has written %q", err, line)
		}
	}
}
