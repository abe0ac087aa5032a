package qemutests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// kept is a machine that keeps its disk and its firmware's variables from one
// start to the next.
func kept(t *testing.T, disk string) qemu.Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "vm")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return qemu.Options{Image: disk, Dir: dir}
}

// previous is what the machine tells of the run before.
func (m *machine) previous() *pid1.Previous {
	m.t.Helper()
	var p pid1.Previous
	if err := json.Unmarshal([]byte(m.shell("ketchctl status --previous --json")), &p); err != nil {
		m.t.Fatalf("ketchctl status --previous --json: %v", err)
	}
	return &p
}

// lastWords is a PID 1 that comes to the end that a file of its name asks for: a
// panic of its own, long after its last line; or a fault that Go's runtime cannot
// recover from, while many goroutines run.
func lastWords(t *testing.T) files {
	return faultyBoot(t, pid1.StageSystem, `log := kmsg.New(layout.ConsolePrefix)
		log.Open()
		asked := func(end string) {
			for os.Remove("/run/ketch/" + end) != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
		crash.Go(log, func() {
			asked("panic")
			panic("lost at sea")
		})
		for range 50 {
			go func() { select {} }()
		}
		crash.Go(log, func() {
			asked("fault")
			var lock sync.Mutex
			lock.Unlock()
		})`)
}

// TestLastWords: a machine ends in every way there is, and the next boot tells how
// the one before has ended, and what its last words were.
func TestLastWords(t *testing.T) {
	t.Parallel()
	o := kept(t, buildFaulty(t, lastWords(t)))

	// The kernel panics.
	m := boot(t, o, "Kernel panic", "Call Trace")
	m.Shell(m.ctx, "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
	m.ends(panicLimit)

	m = boot(t, o, panicSignsOfInit...)
	p := m.previous()
	if p.End != pid1.EndPanic || p.Reason != "Kernel panic - not syncing: sysrq triggered crash" || !strings.Contains(p.LastWords, layout.ConsolePrefix+layout.SayGood) {
		t.Errorf("the next boot tells %s: %s, and the last words\n%s", p.End, p.Reason, p.LastWords)
	}
	if p.Run == nil || p.Run.Boot.GoodUsec == 0 || p.Run.Gate == nil || p.Run.Ended != nil {
		t.Errorf("the record of the run is %+v; want one that was good, and has no end", p.Run)
	}
	if got := m.shell("ketchctl status --previous"); !strings.Contains(got, "in a crash") || !strings.Contains(got, "Call Trace") {
		t.Errorf("ketchctl status --previous:\n%s", got)
	}
	if left := m.shell("ls /sys/fs/pstore | wc -l"); left != "0" {
		t.Errorf("%s records are left in pstore", left)
	}
	if got := m.shell("ketchctl boot --previous"); !strings.Contains(got, "health gate") {
		t.Errorf("ketchctl boot --previous:\n%s", got)
	}

	// PID 1 panics, and the kernel adds its own words.
	_, _ = m.Shell(m.ctx, "touch /run/ketch/panic") // it may be gone before it can answer
	m.waitLine(layout.ConsolePrefix + "PID 1 panic: lost at sea")
	m.waitLine("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200")
	m.ends(panicLimit)

	m = boot(t, o, append(panicSignsOfInit, "fatal error")...)
	if p = m.previous(); p.End != pid1.EndPanic || p.Reason != "PID 1 panic: lost at sea" {
		t.Errorf("the next boot tells %s: %s; want PID 1's reason", p.End, p.Reason)
	}
	for _, want := range []string{"main.", "PID 1 panic: lost at sea", "Attempted to kill init!"} {
		if !strings.Contains(p.LastWords, want) {
			t.Errorf("the last words have no %q:\n%s", want, p.LastWords)
		}
	}

	// Go's runtime ends PID 1.
	_, _ = m.Shell(m.ctx, "touch /run/ketch/fault")
	m.ends(panicLimit)

	m = boot(t, o)
	if p = m.previous(); p.End != pid1.EndPanic || p.Reason != "fatal error: sync: unlock of unlocked mutex" {
		t.Errorf("the next boot tells %s: %s; want the runtime's reason\n%s", p.End, p.Reason, p.LastWords)
	}
	m.powerOff()

	m = boot(t, o)
	if p = m.previous(); p.End != pid1.EndClean || !strings.Contains(p.Reason, "power-off") || p.Run == nil || p.Run.Ended == nil {
		t.Errorf("after a power-off the next boot tells %+v", p)
	}
	m.Stop() // the power is cut

	m = boot(t, o)
	if p = m.previous(); p.End != pid1.EndCut || len(p.Crashes) != 0 {
		t.Errorf("after a power cut the next boot tells %+v", p)
	}
	if got := m.shell("cat /var/lib/ketch/crash/*/dmesg.txt"); !strings.Contains(got, "sysrq triggered crash") {
		t.Errorf("the first boot's last words are gone: %s", got)
	}
}

// TestFatalIsRemembered: PID 1 gives up on a boot. The next one, of a disk whose
// fault has been mended, tells why.
func TestFatalIsRemembered(t *testing.T) {
	t.Parallel()
	disk := newDisk(t)
	table, f := readTable(t, disk)
	hide := func() {
		for _, number := range []int{layout.NumUsrA, layout.NumVerityA} {
			table.Partitions[number-1].ID[0] ^= 0xff
		}
		if err := table.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	o := kept(t, disk)
	hide()
	reboots(t, o, missingLimit, fatal+"slot")
	hide()
	p := boot(t, o).previous()
	if p.End != pid1.EndFatal || !strings.Contains(p.Reason, "slot: no disk has partitions") {
		t.Errorf("the next boot tells %s: %s; want why the slot was not found", p.End, p.Reason)
	}
}
