package qemutests

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ketch-os/ketch/builder/qemu"
)

// A test of what a machine does once it is up need not boot one: it goes on where
// another was saved.

// saved is a machine that was saved as it ran: any number of machines go on from
// there, each with a disk of its own.
type saved struct{ options qemu.Options }

// saveLimit is how long a machine's state may take to be written, or read.
const saveLimit = busyRoom

// save saves a machine that was started with o in a directory, and ends it.
func (m *machine) save(o qemu.Options, dir string) saved {
	m.t.Helper()
	ctx, cancel := qemu.Limit(m.ctx, saveLimit)
	defer cancel()
	o.State = filepath.Join(dir, "state")
	if err := m.Save(ctx, o.State); err != nil {
		m.t.Fatal(err)
	}
	return saved{o}
}

// resume starts a machine where a saved one was, and returns its disk too.
func (s saved) resume(t testing.TB, allowed ...string) (m *machine, disk string) {
	t.Helper()
	o := s.options
	o.Image = copyOf(t, o.Image, 0)
	m = start(t, o, allowed...)
	ctx, cancel := qemu.Limit(m.ctx, saveLimit)
	defer cancel()
	if err := m.Resumed(ctx); err != nil {
		t.Fatal(err)
	}
	return m, o.Image
}

// idle is a machine that is good, whose workload runs, and that has nothing to do.
// It has a watchdog, and the programs of testdata.
var idle struct {
	boot sync.Once
	dir  string
	saved
}

func TestMain(m *testing.M) {
	var err error
	if idle.dir, err = os.MkdirTemp("", "ketch-idle-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(idle.dir)
	os.Exit(status)
}

// goOn starts a machine where the idle one was saved, with ports forwarded.
func goOn(t testing.TB, ports []qemu.Forward, allowed ...string) (m *machine, disk string) {
	t.Helper()
	idle.boot.Do(func() {
		o := qemu.Options{Watchdog: true, Image: filepath.Join(idle.dir, "disk.raw")}
		built := buildVersion(t, "", files{"usr/bin/load": compile(t, "load"), "usr/bin/greedy": compile(t, "greedy")})
		if err := qemu.Copy(o.Image, built, diskSize); err != nil {
			t.Fatal(err)
		}
		m := boot(t, o)
		m.waitLine("ketchd: workload demo-hello: running")
		idle.saved = m.save(o, idle.dir)
	})
	if idle.options.State == "" {
		t.Fatal("the machine to go on from did not boot: see the test that tried")
	}
	s := idle.saved
	s.options.Ports = ports
	return s.resume(t, allowed...)
}
