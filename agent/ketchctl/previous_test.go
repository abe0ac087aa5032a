package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/agent/lastrun"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
)

var started = time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)

// previousRun is one that PID 1 gave up on.
func previousRun() *pid1.Run {
	ended := started.Add(302 * time.Second)
	return &pid1.Run{
		Version: "1.2.2", RootHash: "abcd", Started: started, Ended: &ended,
		Request: "reboot (after a fatal error)", Fatal: "health gate: not good in time: ketchd is ready: starting",
		Gate: &pid1.GateReport{Outcome: pid1.GateFailed, Checks: []pid1.Check{
			{Name: "containerd serves", Passed: true, After: 1.9}, {Name: "ketchd is ready", Reason: "starting"},
		}},
		Boot: pid1.Boot{PID1Usec: 500_000, ReadyUsec: 1_900_000, Steps: []pid1.Step{{Stage: pid1.StageInitramfs, Name: "slot", StartUsec: 500_000, TookUsec: 100_000}}},
	}
}

func TestPrevious(t *testing.T) {
	ketchctl := serve(t, &node.Status{}, nil)
	const want = `ended      PID 1 gave up on it, and went down in order
reason     health gate: not good in time: ketchd is ready: starting
version    1.2.2
root hash  abcd
started    2026-11-22 15:00:00 UTC
ended      2026-11-22 15:05:02 UTC, after 5m2s
boot       runtime-ready after 1.9 s, not good
fatal      health gate: not good in time: ketchd is ready: starting

HEALTH GATE        PASSED       REASON
containerd serves  after 1.9 s  -
ketchd is ready    no           starting
`
	if got, err := ketchctl("status", "--previous"); got != want || err != nil {
		t.Errorf("status --previous = %v\n%s\nwant\n%s", err, got, want)
	}
	got, err := ketchctl("status", "--previous", "--json")
	var decoded pid1.Previous
	if err != nil || json.Unmarshal([]byte(got), &decoded) != nil || decoded.End != pid1.EndFatal {
		t.Errorf("status --previous --json = %q, %v; want a Previous", got, err)
	}
	if got, err := ketchctl("boot", "--previous"); err != nil || !strings.Contains(got, "slot") {
		t.Errorf("boot --previous = %q, %v; want the timeline of the run before", got, err)
	}
}

func TestLastWords(t *testing.T) {
	words := strings.Repeat("<4>[    1.0] before\n", 100) + "<0>[    2.0] ketch: PID 1 panic: lost at sea\n"
	crash := pid1.Crash{Kind: "Panic", Time: started, Reason: "PID 1 panic: lost at sea", Path: "/var/lib/ketch/crash/x/dmesg.txt"}
	p := lastrun.Judge(nil, &pid1.Run{Crashes: []pid1.Crash{crash}})
	p.LastWords = words
	var out strings.Builder
	if err := showPrevious(&out, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ended   in a crash\n", "reason  PID 1 panic: lost at sea\n", crash.Path, "ketch: PID 1 panic: lost at sea\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("status --previous says nothing of %q:\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "before\n"); n != shownWords-1 {
		t.Errorf("%d lines of the last words are shown; want the last %d", n+1, shownWords)
	}
}

func TestLogList(t *testing.T) {
	ketchctl := serve(t, nil, map[string]string{"demo-hello": strings.Repeat("x", 1024), "kernel": ""})
	got, err := ketchctl("logs")
	for _, want := range []string{"LOG ", "demo-hello  1.0 KiB", "kernel ", "1.0 KiB of at most "} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("logs = %v\n%s\nwant %q in it", err, got, want)
		}
	}
	var list node.LogList
	if got, err := ketchctl("logs", "--json"); err != nil || json.Unmarshal([]byte(got), &list) != nil || len(list.Logs) != 2 || list.Limit == 0 {
		t.Errorf("logs --json = %q, %v; want a list of two", got, err)
	}
}
