package shutdown

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/machine/machinetest"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/linux/mount"
)

// worst is a host on which nothing that is asked to end does, and on which so many
// mounts are dead. Its services never end either: nobody runs them.
type worst struct {
	host
	services *service.Supervisor

	mu     sync.Mutex
	mounts []mount.Entry // what is still mounted
}

// allServices are those of a debug image, which has the most. Nobody runs them.
func allServices(m *machine.Machine) *service.Supervisor {
	table := service.Table("/dev/console", "/init")
	for i := range table {
		table[i].RequiresFiles = nil
	}
	return service.New(m, nil, table)
}

// dead mounts are called so. The others are let go at once, but for a busy one.
const dead = "/run/containerd/dead"

func newWorst(t *testing.T, m *machine.Machine, deads int) *worst {
	t.Helper()
	w := &worst{services: allServices(m)}
	w.groups = t.TempDir()
	group := filepath.Join(w.groups, "immortal")
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"cgroup.events": "populated 1\n", "cgroup.kill": "", "cgroup.procs": ""} {
		if err := os.WriteFile(filepath.Join(group, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.proc = fstest.MapFS{"9/stat": &fstest.MapFile{Data: []byte("9 (immortal) D 1 1 1 0 -1 4194560 0")}}
	w.signal = func(unix.Signal) {}
	w.mounts = []mount.Entry{{Target: "/"}, {Target: "/usr"}, {Target: "/var"}, {Target: "/var/busy"}, {Target: "/tmp"}}
	for n := range deads {
		w.mounts = append(w.mounts, mount.Entry{Target: fmt.Sprint(dead, n)})
	}
	w.mounts = append(w.mounts, mount.Entry{Target: "/run/containerd/healthy"})
	w.host.mounts.list = func() ([]mount.Entry, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Clone(w.mounts), nil
	}
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	w.host.mounts.unmount = func(target string) error {
		if strings.HasPrefix(target, dead) {
			<-forever
		}
		return w.unmount(target)
	}
	w.host.mounts.freeze = func(string) error {
		<-forever
		return nil
	}
	return w
}

func (w *worst) unmount(target string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if target == "/var/busy" || target == "/var" && w.has("/var/busy") {
		return unix.EBUSY
	}
	w.mounts = slices.DeleteFunc(w.mounts, func(e mount.Entry) bool { return e.Target == target })
	return nil
}

func (w *worst) has(target string) bool {
	return slices.ContainsFunc(w.mounts, func(e mount.Entry) bool { return e.Target == target })
}

// poll is how late a wait that looks again and again may notice its end.
const poll = 50 * time.Millisecond

// TestWaitsAddUp runs every step that waits for others, in order, on a host where
// all of them let it wait. It ends by itself within what the table says, so within
// its limit.
func TestWaitsAddUp(t *testing.T) {
	for _, deads := range []int{0, 1, 2, 10, 1000} {
		t.Run(fmt.Sprintf("%d dead mounts", deads), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := machine.New()
				w := newWorst(t, m, deads)
				for _, e := range table(m, w.services, Request{}, w.host) {
					if e.waits == 0 {
						continue
					}
					began := time.Now()
					err := e.do()
					if took := time.Since(began); took > e.waits+poll {
						t.Errorf("%s took %v; its waits are %v", e.name, took, e.waits)
					}
					if e.name == "file systems" {
						checkFileSystems(t, w, err, deads)
					}
				}
			})
		})
	}
}

// checkFileSystems: whatever is dead, what is healthy is unmounted, and both are
// told apart.
func checkFileSystems(t *testing.T, w *worst, err error, deads int) {
	t.Helper()
	for _, target := range []string{"/tmp", "/run/containerd/healthy"} {
		if w.has(target) {
			t.Errorf("%s is still mounted", target)
		}
	}
	if text := fmt.Sprint(err); strings.Count(text, "unmount "+dead) != deads || !strings.Contains(text, "device or resource busy; held by []") {
		t.Errorf("the error is %.300s; want %d dead mounts and the busy ones named", text, deads)
	}
}

// TestALateUnmount: a file system that answers late is gone in the end, and so is
// what it was mounted on.
func TestALateUnmount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine.New()
		w := newWorst(t, m, 0)
		w.mounts = []mount.Entry{{Target: "/"}, {Target: "/var"}, {Target: "/var/slow"}, {Target: "/tmp"}}
		w.host.mounts.unmount = func(target string) error {
			if target == "/var" && w.has("/var/slow") {
				return unix.EBUSY
			}
			if target == "/var/slow" {
				time.Sleep(unmountWait + hangWait/2)
			}
			return w.unmount(target)
		}
		if err := unmountAll(m.Log, w.host); err != nil || len(w.mounts) != 1 {
			t.Errorf("unmountAll = %v, left %v; want / alone", err, w.mounts)
		}
	})
}

// TestStepsAreBounded: every step has a limit beyond what it waits for, and a
// person can wait for the whole. The last resort comes after it.
func TestStepsAreBounded(t *testing.T) {
	m := machine.New()
	services := allServices(m)
	for name, test := range map[string]struct {
		services *service.Supervisor
		most     time.Duration
	}{"boot": {nil, 3 * time.Minute}, "running": {services, 5 * time.Minute}} {
		var sum time.Duration
		list := table(m, test.services, Request{}, thisHost())
		for _, e := range list {
			if e.limit() < e.waits+slack || e.limit() > time.Minute || e.do == nil {
				t.Errorf("%s: step %q has the limit %v and waits %v", name, e.name, e.limit(), e.waits)
			}
			sum += e.limit()
		}
		if got := whole(steps(list)); got < sum+readingTime+margin || got > test.most {
			t.Errorf("%s: the way down may take %v, its steps %v; want at most %v", name, got, sum, test.most)
		}
	}
}

// TestWatchdogOnTheWayDown: when every step hangs to its limit, no more time passes
// between two feeds than the watchdog gives by far.
func TestWatchdogOnTheWayDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machine.New()
		fed := machinetest.Watch(t, m)
		release, ended := make(chan struct{}), make(chan struct{})
		list := steps(table(m, allServices(m), Request{}, thisHost()))
		for i := range list {
			list[i].Do = func() error { <-release; return nil }
		}
		began, last, longest := time.Now(), time.Now(), time.Duration(0)
		go func() {
			step.EachFeeding(m, pid1.StageDown, list)
			close(ended)
		}()
		for times, over := int64(-1), false; !over; {
			select {
			case <-ended:
				over = true
			case <-time.After(time.Second):
			}
			if n := fed(); n != times {
				times, last = n, time.Now()
			}
			longest = max(longest, time.Since(last))
		}
		close(release)
		if longest > machine.WatchdogTimeout/4 {
			t.Errorf("the watchdog was not fed for %v", longest)
		}
		if took := time.Since(began); took > whole(list)-margin {
			t.Errorf("the way down took %v; the last resort comes after %v", took, whole(list))
		}
	})
}

// TestDocumented: docs/shutdown.md has the table as it is.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/shutdown.md")
	if err != nil {
		t.Fatal(err)
	}
	m := machine.New()
	for _, e := range table(m, allServices(m), Request{}, thisHost()) {
		if line := fmt.Sprintf("| %s | %d s |", e.name, int(e.limit().Seconds())); !strings.Contains(string(text), line) {
			t.Errorf("docs/shutdown.md has no line %q", line)
		}
	}
	running := whole(steps(table(m, allServices(m), Request{}, thisHost())))
	boot := whole(steps(table(m, nil, Request{}, thisHost())))
	if line := fmt.Sprintf("%d s before services run, %d s after", int(boot.Seconds()), int(running.Seconds())); !strings.Contains(string(text), line) {
		t.Errorf("docs/shutdown.md does not say %q", line)
	}
}
