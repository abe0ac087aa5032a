package nstest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/threads"
	"github.com/ketch-os/ketch/layout"
)

// TestDownWithoutForks: on a machine that has no process and no thread left to
// give, PID 1 lives, tells why a service does not come back, and goes down.
func TestDownWithoutForks(t *testing.T) {
	t.Parallel()
	p := boot(t, nil)
	if got := p.threads(); got < threads.Reserved {
		t.Errorf("PID 1 has %d threads once it is up; want the %d that it has reserved", got, threads.Reserved)
	}
	p.forbidForks()
	before := p.threads()
	p.exitWith(service.Ketchd, 7)
	p.waitFor("a start that fails", func() bool {
		s := p.service(service.Ketchd)
		return s.State == pid1.StateBackoff && s.PID == 0 && s.Restarts > 0
	})
	if got := p.threads(); got != before {
		t.Errorf("PID 1 had %d threads when no more were to be had, and has %d", before, got)
	}
	if err := p.cmd.Process.Signal(unix.SIGPWR); err != nil {
		t.Fatal(err)
	}
	if got := p.end(); got != unix.SIGINT {
		t.Errorf("PID 1 ended by %v; want a power-off", got)
	}
	p.waitLine(layout.ConsolePrefix + layout.SayDown + "power-off (asked by SIGPWR)")
}

func (p *instance) threads() int {
	p.t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/task")
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// forbidForks lets the kernel refuse every further process and thread to PID 1, by
// a control group of its own or, where those of version 1 have that controller, of
// theirs.
func (p *instance) forbidForks() {
	p.t.Helper()
	group := p.pidsGroup()
	if err := os.WriteFile(filepath.Join(group, "pids.max"), []byte("1"), 0); err != nil {
		p.t.Fatal(err)
	}
}

// pidsGroup is a control group with the controller pids and PID 1 in it.
func (p *instance) pidsGroup() string {
	p.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line) // device, target, type, options (fstab(5))
		if f[2] != "cgroup" || !slices.Contains(strings.Split(f[3], ","), "pids") {
			continue
		}
		group, err := os.MkdirTemp(f[1], "ketch-nstest-")
		if err != nil {
			p.t.Fatal(err)
		}
		// Before the group can be removed PID 1 must have ended.
		p.t.Cleanup(func() { p.finish(); removeGroups(p.t, group) })
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0); err != nil {
			p.t.Fatal(err)
		}
		return group
	}
	// The controller pids can be enabled beside processes: it is a threaded one
	// (cgroup-v2.rst, "Threads").
	if err := os.WriteFile(filepath.Join(filepath.Dir(p.group), "cgroup.subtree_control"), []byte("+pids"), 0); err != nil {
		p.t.Fatalf("no controller pids to be had: %v", err)
	}
	return p.group
}
