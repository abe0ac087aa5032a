package qemutests

import (
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/qemu"
	initmachine "github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/layout"
)

const (
	// watchdogLimit: the watchdog's timeout, from a last feeding that may be later
	// than the fault, and the reset.
	watchdogLimit = initmachine.WatchdogTimeout + initmachine.FeedEvery + busyRoom
	// hangLimit is the sum of the limits of the way down's steps, and room: no service
	// and no disk can keep a machine longer. See init/shutdown.
	hangLimit = 4*time.Minute + busyRoom
)

// TestWatchdogResetsFrozenPID1 freezes PID 1 on a machine that is up. End: the
// watchdog resets it.
func TestWatchdogResetsFrozenPID1(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	if got := m.status().System.Watchdog; !strings.Contains(got, "i6300ESB") {
		t.Errorf("the armed watchdog is %q; want the i6300ESB", got)
	}
	m.shell("echo 1 > /sys/fs/cgroup/init/cgroup.freeze")
	m.watchdogEnds()
	if strings.Contains(m.Console.String(), layout.ConsolePrefix+layout.SayDown) {
		t.Error("PID 1 was not frozen: it has taken the machine down")
	}
}

// TestWatchdogResetsHungBoot hangs PID 1 in the boot, before it has started
// anything. End: the watchdog that the initramfs stage has armed resets it.
func TestWatchdogResetsHungBoot(t *testing.T) {
	t.Parallel()
	disk := buildFaulty(t, faultyBoot(t, pid1.StageSystem, "time.Sleep(time.Hour)"))
	o := direct(t, disk)
	o.Watchdog = true
	m := start(t, o)
	m.waitLine(layout.ConsolePrefix + layout.SayVersion)
	m.watchdogEnds()
}

// watchdogEnds waits for the end of the machine, which must be the watchdog's doing.
func (m *machine) watchdogEnds() {
	m.t.Helper()
	ctx, cancel := qemu.Limit(m.ctx, watchdogLimit)
	defer cancel()
	if err := m.WaitEvent(ctx, "WATCHDOG"); err != nil {
		m.t.Errorf("the watchdog has not reset the machine: %v", err)
	}
	m.ends(watchdogLimit)
}

// TestHaltedStaysHalted halts a machine with a watchdog, which cannot be told to
// stop. End: PID 1 feeds it, past its timeout; Ctrl-Alt-Del starts the machine again.
// The time is the machine's: both watchdog and PID 1 go by it.
func TestHaltedStaysHalted(t *testing.T) {
	t.Parallel()
	m, disk := goOn(t, nil)
	_, _ = m.Shell(m.ctx, "halt") // the machine may be gone before it can answer
	m.waitLine(layout.ConsolePrefix + layout.SayHalted)
	select {
	case <-m.Done():
		t.Error("the halted machine has been reset")
	case <-time.After(initmachine.WatchdogTimeout + 2*initmachine.FeedEvery):
	}
	if err := pressCtrlAltDel(m); err != nil {
		t.Fatal(err)
	}
	m.ends(shutdownLimit)
	cleanState(t, disk)
}

// TestShutdownWithFrozenService freezes containerd, which then takes no SIGTERM.
// End: power-off all the same, with clean file systems, and not by the watchdog.
func TestShutdownWithFrozenService(t *testing.T) {
	t.Parallel()
	m, disk := goOn(t, nil)
	m.shell("echo 1 > /sys/fs/cgroup/services/containerd/cgroup.freeze")
	if err := m.Command(m.ctx, "system_powerdown"); err != nil {
		t.Fatal(err)
	}
	m.ends(hangLimit)
	m.waitLine(layout.ConsolePrefix + layout.SayDown)
	cleanState(t, disk)
}

// TestPowerButtonWithoutForks: the kernel refuses every further process and thread
// when the power button is pressed. End: power-off, with clean file systems.
func TestPowerButtonWithoutForks(t *testing.T) {
	t.Parallel()
	m, disk := goOn(t, nil)
	// One exchange: what serves the shell may not survive it, and could not be started anew.
	if out, err := m.Shell(m.ctx, "echo 1 > /proc/sys/kernel/threads-max; if /usr/bin/true; then echo started; fi"); strings.Contains(string(out), "started") {
		t.Errorf("a process can still be started: %s, %v", out, err)
	}
	if err := m.Command(m.ctx, "system_powerdown"); err != nil {
		t.Fatal(err)
	}
	m.ends(hangLimit)
	m.waitLine(layout.ConsolePrefix + layout.SayDown + "power-off (asked by the power button")
	cleanState(t, disk)
}

// TestShutdownWithDeadDisk lets the disk answer one request a second while much is
// dirty: processes sleep uninterruptibly, sync and unmounting do not end. End: the
// machine is off all the same.
func TestShutdownWithDeadDisk(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil, "blocked for more than")
	m.shell("mkdir /var/load; load /var/load")
	m.throttle(1)
	if err := m.Command(m.ctx, "system_powerdown"); err != nil {
		t.Fatal(err)
	}
	m.waitLine(layout.ConsolePrefix + layout.SayDown)
	m.ends(hangLimit)
}

// throttle lets the disk answer so many requests a second; 0 is no limit.
func (m *machine) throttle(requests int) {
	m.t.Helper()
	throttle := map[string]any{"device": "disk", "iops": requests}
	for _, unused := range []string{"iops_rd", "iops_wr", "bps", "bps_rd", "bps_wr"} {
		throttle[unused] = 0
	}
	if err := m.CommandWith(m.ctx, "block_set_io_throttle", throttle); err != nil {
		m.t.Fatal(err)
	}
}
