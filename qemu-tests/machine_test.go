// Package qemutests boots real images in QEMU and looks at what they do. Each
// test starts its own machine from its own copy of the disk.
//
// KETCH_IMAGE names the image; the default is what `make qemu` builds. Where it
// is missing the tests fail: they have nothing to say without it.
package qemutests

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// bootLimit is how long a machine may take for anything a test waits for. Under
// TCG a boot takes about ten seconds of a processor; a host that has a dozen other
// things to do gives them in three minutes.
const bootLimit = 8 * time.Minute

// busyRoom is what the limits of faults have besides what the machine itself allows.
const busyRoom = bootLimit / 2

// lifeLimit is how long a machine may run in all, whatever a test does with it.
const lifeLimit = 25 * time.Minute

// testCPUs is how many processors a machine has unless a test says otherwise: a
// second emulated one costs more than it brings. TestBootsToRuntimeReady and one
// machine of TestShutdowns have two.
const testCPUs = 1

// series is how long a series is: whole in `make soak`, a sample in `make test`.
func series(whole, sample int) int {
	if os.Getenv("KETCH_SOAK") == "" {
		return sample
	}
	return whole
}

// imagePath is the image under test.
func imagePath(t testing.TB) string {
	t.Helper()
	path := os.Getenv("KETCH_IMAGE")
	if path == "" {
		path = "../out/qemu/disk.raw"
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no image to test: %v; build it: make qemu", err)
	}
	return path
}

// newDisk is a machine's own copy of the image under test.
func newDisk(t testing.TB) string {
	t.Helper()
	return copyOf(t, imagePath(t), diskSize)
}

func copyOf(t testing.TB, path string, size int64) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := qemu.Copy(disk, path, size); err != nil {
		t.Fatal(err)
	}
	return disk
}

// direct starts the kernel of a disk's only version at once: for what comes after,
// firmware and boot loader would be a third of the boot. A panic does not wait.
func direct(t testing.TB, disk string) qemu.Options {
	t.Helper()
	e := onlyEntry(t, disk)
	sections, err := uki.Parse(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := qemu.Options{
		Image:  disk,
		Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd"), Cmdline: e.Cmdline + " panic=1",
	}
	for path, data := range map[string][]byte{o.Kernel: sections.Linux, o.Initrd: sections.Initrd} {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// machine is a running machine and the test it belongs to.
type machine struct {
	*qemu.VM
	t       testing.TB
	ctx     context.Context
	allowed []string // bad signs that the test expects
}

// start starts a machine, which ends with the test. Its console must show no
// bad sign but those allowed.
func start(t testing.TB, o qemu.Options, allowed ...string) *machine {
	t.Helper()
	o.ExitOnReboot = true
	return launch(t, o, lifeLimit, allowed...)
}

// launch starts a machine as soon as the host has a processor for it.
func launch(t testing.TB, o qemu.Options, life time.Duration, allowed ...string) *machine {
	t.Helper()
	testkit.Tool(t, "qemu-system-x86_64")
	takeTurn(t)
	ctx, cancel := context.WithTimeout(t.Context(), life)
	t.Cleanup(cancel)
	o.CPUs = cmp.Or(o.CPUs, testCPUs)
	vm, err := qemu.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{vm, t, ctx, allowed}
	t.Cleanup(m.finish)
	return m
}

// boot starts a machine and waits until its boot is good.
func boot(t testing.TB, o qemu.Options, allowed ...string) *machine {
	t.Helper()
	m := start(t, o, allowed...)
	m.waitLine(layout.ConsolePrefix + layout.SayGood)
	return m
}

// badSigns are lines that no console should ever show.
var badSigns = regexp.MustCompile(`Kernel panic|Oops|BUG:|WARNING: CPU|goroutine \d+ \[|SIGSEGV|EXT4-fs error|EXT4-fs warning|device-mapper: verity.*corrupt|Call Trace|blocked for more than|ketch: FATAL`)

func (m *machine) finish() {
	m.Stop()
	testkit.Spent(m.t, "the machine", m.ProcessorTime())
	console := m.Console.String()
	for line := range strings.Lines(console) {
		if sign := badSigns.FindString(line); sign != "" && !m.expects(line) {
			m.t.Errorf("the console shows %q: %s", sign, strings.TrimSpace(line))
		}
	}
	if m.t.Failed() {
		m.t.Logf("console:\n%s", console)
	}
}

func (m *machine) expects(line string) bool {
	for _, part := range m.allowed {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// waitLine waits for a line on the console.
func (m *machine) waitLine(part string) string {
	m.t.Helper()
	ctx, cancel := qemu.Limit(m.ctx, bootLimit)
	defer cancel()
	line, err := m.Console.WaitLine(ctx, part)
	if err != nil {
		m.t.Fatal(err)
	}
	return line
}

// shell runs a command line on the machine and returns its output.
func (m *machine) shell(line string) string {
	m.t.Helper()
	ctx, cancel := qemu.Limit(m.ctx, bootLimit)
	defer cancel()
	out, err := m.Shell(ctx, line)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// ends waits for the machine to end by itself: power-off, or a reboot.
func (m *machine) ends(within time.Duration) {
	m.t.Helper()
	ctx, cancel := qemu.Limit(m.ctx, within)
	defer cancel()
	if err := m.Wait(ctx); errors.Is(err, context.DeadlineExceeded) {
		m.t.Fatalf("the machine still runs after %v", within)
	}
}

// powerOff presses the power button and waits for the machine to end.
func (m *machine) powerOff() {
	m.t.Helper()
	if err := m.Command(m.ctx, "system_powerdown"); err != nil {
		m.t.Fatal(err)
	}
	m.ends(shutdownLimit)
}
