package qemutests

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// Faults, each with the time by which it must have come to its end. All limits
// count from a start or a line on the console: what the machine itself allows, and
// room for emulation on a busy host.
const (
	// panicLimit: the kernel's panic=10, after a sync of at most 2 s.
	panicLimit = 12*time.Second + busyRoom
	// deadlockLimit: 30 s in which a part of PID 1 may not answer, and a panic.
	deadlockLimit = 42*time.Second + busyRoom
	// gateDeadline is the health gate's in images that a test builds, and
	// crashDeadline is too, where a service has to fail five times before: that
	// takes 8 s and five starts. gateLimit is for what follows: 5 s in which the
	// reason can be read, and the way down.
	gateDeadline  = 20 * time.Second
	crashDeadline = time.Minute
	gateLimit     = 30*time.Second + busyRoom
	// missingLimit: 10 s until the slot must be there, 5 s to read the reason.
	missingLimit = 15*time.Second + busyRoom
	// greedLimit is for the kernel to find who took the memory.
	greedLimit = busyRoom
)

// gateConfiguration is the machine configuration of an image with a deadline.
func gateConfiguration(deadline time.Duration) files {
	return files{layout.EtcSkeleton[1:] + "/ketch/gate.json": []byte(`{"deadline": "` + deadline.String() + `"}` + "\n")}
}

// with joins files.
func (f files) with(more files) files {
	for name, data := range more {
		f[name] = data
	}
	return f
}

// reboots starts a machine that has to end by a reboot within limit, after the
// console has shown a sign, and without ever becoming good.
func reboots(t *testing.T, o qemu.Options, limit time.Duration, sign string, allowed ...string) *machine {
	t.Helper()
	m := start(t, o, append(allowed, sign)...)
	m.waitLine(sign)
	m.ends(limit)
	if strings.Contains(m.Console.String(), layout.ConsolePrefix+layout.SayGood) {
		t.Error("the boot was good all the same")
	}
	return m
}

// panicSignsOfInit come with the end of PID 1.
var panicSignsOfInit = []string{"Kernel panic", "Call Trace", "goroutine "}

// TestDeadlockOfPID1: a lock of PID 1 is never given back, on a machine that is
// up and has no watchdog. End: PID 1 notices, and panics with every goroutine's
// stack; the kernel reboots.
func TestDeadlockOfPID1(t *testing.T) {
	t.Parallel()
	m := start(t, direct(t, buildFaulty(t, faultyLock(t))), panicSignsOfInit...)
	m.waitLine(layout.ConsolePrefix + "PID 1 panic: deadlock: timeline")
	m.ends(deadlockLimit)
}

// TestInitExits: PID 1 ends without a word. End: the kernel panics and reboots.
func TestInitExits(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{pid1.StageInitramfs, pid1.StageSystem} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			disk := buildFaulty(t, faultyBoot(t, stage, "os.Exit(3)"))
			reboots(t, direct(t, disk), panicLimit, "Attempted to kill init! exitcode=0x00000300", panicSignsOfInit...)
		})
	}
}

// TestContainerdNeverServes: containerd runs and never answers. End: the health
// gate's deadline, and a reboot.
func TestContainerdNeverServes(t *testing.T) {
	t.Parallel()
	disk := buildFaulty(t, gateConfiguration(gateDeadline).with(files{"usr/bin/containerd": script("exec sleep 100000")}))
	m := reboots(t, direct(t, disk), gateLimit, fatal+"health gate")
	for _, wrong := range []string{layout.SayRuntimeReady, "not checked yet"} {
		if strings.Contains(m.Console.String(), wrong) {
			t.Errorf("PID 1 said %q of a containerd that runs and never answers", wrong)
		}
	}
}

// TestKetchdCrashLoops: ketchd ends as soon as it starts. End: the service is
// degraded, with its last line; then the gate's deadline, and a reboot.
func TestKetchdCrashLoops(t *testing.T) {
	t.Parallel()
	disk := buildFaulty(t, gateConfiguration(crashDeadline).with(files{"usr/bin/ketchd": script("echo sinking; exit 3")}))
	m := start(t, direct(t, disk), fatal)
	m.waitLine("degraded: service ketchd keeps failing")
	m.waitLine(fatal + "health gate")
	m.ends(gateLimit)
	if !strings.Contains(m.Console.String(), "ketchd has ended (exit status 3): sinking") {
		t.Error("the console does not tell ketchd's last line")
	}
}

// TestSlotNeverAppears: the partitions that the root hash names are not there.
// End: a reboot after 10 s.
func TestSlotNeverAppears(t *testing.T) {
	t.Parallel()
	disk := newDisk(t)
	table, f := readTable(t, disk)
	for _, number := range []int{layout.NumUsrA, layout.NumVerityA} {
		table.Partitions[number-1].ID[0] ^= 0xff
	}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	reboots(t, direct(t, disk), missingLimit, fatal+"slot")
}

// TestGreedyShell: a command takes all the memory. End: the kernel kills it, and
// nothing else; the machine stays good.
func TestGreedyShell(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil, oomSigns...)
	before := m.pids()
	ctx, cancel := context.WithTimeout(m.ctx, greedLimit)
	defer cancel()
	// What debugd starts inherits its protection, which a person's command has not.
	if out, err := m.Shell(ctx, "echo 0 > /proc/self/oom_score_adj; greedy"); err == nil || ctx.Err() != nil {
		t.Errorf("the greedy command: %v, %s; want it killed", err, out)
	}
	m.survives(before)
}

// TestGreedyWorkload: a container takes all the memory, and does so again each
// time it is started again. End: as above.
func TestGreedyWorkload(t *testing.T) {
	t.Parallel()
	disk := buildFaulty(t, greedyWorkload(t))
	m := start(t, direct(t, disk), oomSigns...)
	m.waitLine(layout.ConsolePrefix + layout.SayGood)
	before := m.pids()
	m.waitCount("Killed process", 3)
	m.survives(before)
}

// oomSigns come with the kernel's killing of a process for its memory.
var oomSigns = []string{"Call Trace"}

// pids are the processes of the services that a machine cannot do without.
func (m *machine) pids() map[string]int {
	m.t.Helper()
	pids := map[string]int{}
	for _, s := range m.status().System.Services {
		if s.Name == "containerd" || s.Name == "ketchd" {
			pids[s.Name] = s.PID
		}
	}
	return pids
}

// attackers are the programs of the tests that take what they can, as the kernel
// names what it kills.
var attackers = regexp.MustCompile(`\((greedy|hostile)\)`)

// survives checks that the services are the same processes as before, that none
// but attackers were killed, and that the machine still answers.
func (m *machine) survives(before map[string]int) {
	m.t.Helper()
	for name, pid := range m.pids() {
		if before[name] != pid || pid == 0 {
			m.t.Errorf("%s is process %d, was %d: it did not survive", name, pid, before[name])
		}
	}
	for line := range strings.Lines(m.Console.String()) {
		if strings.Contains(line, "Killed process") && !attackers.MatchString(line) {
			m.t.Errorf("another process was killed: %s", strings.TrimSpace(line))
		}
	}
}

// status is what ketchctl tells programs.
func (m *machine) status() *node.Status {
	m.t.Helper()
	var s node.Status
	if err := json.Unmarshal([]byte(m.shell("ketchctl status --json")), &s); err != nil || s.System == nil {
		m.t.Fatalf("ketchctl status --json: %v; what PID 1 says: %v", err, s.System)
	}
	return &s
}

// waitCount waits until a number of the console's lines contain part.
func (m *machine) waitCount(part string, count int) {
	m.t.Helper()
	ctx, cancel := qemu.Limit(m.ctx, bootLimit)
	defer cancel()
	_, err := m.Console.WaitFor(ctx, func(text string) (string, bool) { return part, strings.Count(text, part) >= count })
	if err != nil {
		m.t.Fatalf("wait for %q, %d times: %v", part, count, err)
	}
}
