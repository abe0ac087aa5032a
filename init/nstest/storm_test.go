package nstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
)

const (
	// maxCost is how much of a processor's time PID 1 may take to collect an orphan:
	// ten thousand a second on one. The time that a host leaves to it is not counted.
	maxCost = 100 * time.Microsecond
	// storms is how many are measured.
	storms = 2
	// allCollected is how a storm ends in which no orphan was lost (testdata/storm.c).
	allCollected = "exit status 41"
	// stormService is the service that a storm runs as: PID 1 starts it where its
	// file exists, and starts it again each time it ends.
	stormService = "debugd"
)

// TestStorm lets one service make orphans as fast as the kernel can while another
// ends again and again. PID 1 collects every orphan, each in a moment, and takes no
// service's status for another's.
func TestStorm(t *testing.T) {
	p := boot(t, map[string]string{layout.DebugDaemon: buildStorm(t)})
	for n := range 4 {
		p.exit(service.Ketchd, n, 100+n)
	}
	last := p.restarted(stormService, p.service(stormService).Restarts+1) // a storm begins
	before := p.processorTime()
	for range storms { // each has the whole limit
		last = p.restarted(stormService, last.Restarts+1)
	}
	took := p.processorTime() - before
	if last.LastExit != allCollected {
		t.Fatalf("a storm ended with %s; want %s", last.LastExit, allCollected)
	}
	orphans := storms * perStorm(t, last.Lines)
	cost := took / time.Duration(orphans)
	t.Logf("PID 1 took %v for each of %d orphans, all else that it does included", cost, orphans)
	if cost > maxCost {
		t.Errorf("PID 1 took %v for each orphan; want at most %v", cost, maxCost)
	}
}

// restarted waits until a service has been started anew so often. It looks rarely:
// to answer takes time that is not to be counted.
func (p *instance) restarted(name string, often int) (s pid1.Service) {
	p.t.Helper()
	p.waitFor("restarts of "+name, func() bool {
		if s = p.service(name); s.Restarts >= often {
			return true
		}
		time.Sleep(200 * time.Millisecond)
		return false
	})
	return s
}

// perStorm reads from what storms have printed how many orphans one makes.
func perStorm(t *testing.T, lines []string) (orphans int) {
	t.Helper()
	for _, line := range lines {
		var took int
		if _, err := fmt.Sscanf(line, "%d orphans in %d ms", &orphans, &took); err == nil {
			return orphans
		}
	}
	t.Fatalf("no storm has told of its orphans: %q", lines)
	return 0
}

// processorTime is what PID 1 has used: utime and stime, the fourteenth and
// fifteenth fields, in hundredths of a second (proc_pid_stat(5)).
func (p *instance) processorTime() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third on
	user, errUser := strconv.Atoi(fields[14-3])
	system, errSystem := strconv.Atoi(fields[15-3])
	if err := errors.Join(errUser, errSystem); err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// exit makes a service, which has been started anew a number of times, end with a
// status, and waits until PID 1 tells of it and has started it again.
func (p *instance) exit(name string, restarts, with int) {
	p.t.Helper()
	p.waitFor(name, func() bool { return p.service(name).State == pid1.StateReady })
	p.exitWith(name, with)
	p.waitFor(name, func() bool { return p.service(name).Restarts == restarts+1 })
	if got, want := p.service(name).LastExit, fmt.Sprintf("exit status %d", with); got != want {
		p.t.Errorf("PID 1 says that %s ended with %q; want %q", name, got, want)
	}
}

// exitWith makes a service end with a status.
func (p *instance) exitWith(name string, with int) {
	p.t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.path(layout.KetchdSocket))
	}}}
	defer client.CloseIdleConnections()
	if _, err := client.Get(fmt.Sprintf("http://ketchd/exit/%d", with)); err == nil {
		p.t.Fatalf("%s answers instead of ending", name)
	}
}

const (
	// children are how many supervised processes TestStatusRaces starts.
	children = 10000
	atOnce   = 16
	// raceLimit is for all of them. It takes some seconds, or minutes on a host that
	// has a lot else to do.
	raceLimit = 8 * time.Minute
)

// stormVariable tells a test that runs inside of namespaces where testdata/storm.c
// has been built to.
const stormVariable = "NSTEST_STORM"

// TestStatusRaces supervises ten thousand children, each of which leaves an orphan
// that ends at the same time with another status. No status is lost, none is
// another's, and no zombie remains.
func TestStatusRaces(t *testing.T) {
	t.Parallel()
	storm := os.Getenv(stormVariable)
	if storm == "" {
		storm = buildStorm(t)
	}
	if !testkit.InNamespaces(t, unix.CLONE_NEWPID|unix.CLONE_NEWNS, stormVariable+"="+storm) {
		return
	}
	r := reaper.New(&kmsg.Log{})
	began := time.Now()
	each(t, children, func(i int) error {
		want := i % 256
		child, err := r.Start(storm, []string{"storm", "exit", strconv.Itoa(want)}, &os.ProcAttr{})
		if err != nil {
			return err
		}
		if got := exitStatus(child.Err()); got != want {
			return fmt.Errorf("child %d ended with %d; want %d", i, got, want)
		}
		return nil
	})
	t.Logf("%d children and as many orphans: %.0f a second", children, 2*children/time.Since(began).Seconds())
	testkit.Alone(t)
}

// TestToolRaces runs tools as os/exec would, while orphans die: output and status
// are each tool's own.
func TestToolRaces(t *testing.T) {
	t.Parallel()
	if !testkit.InNamespaces(t, unix.CLONE_NEWPID|unix.CLONE_NEWNS) {
		return
	}
	r := reaper.New(&kmsg.Log{})
	each(t, 500, func(i int) error {
		script := fmt.Sprintf("(exit 99) & echo %d; exit %d", i, i%90)
		out, err := r.Run(raceLimit, "/bin/sh", "-c", script)
		if got := exitStatus(err); got != i%90 || out != strconv.Itoa(i) {
			return fmt.Errorf("tool %d printed %q and ended with %d", i, out, got)
		}
		return nil
	})
	testkit.Alone(t)
}

// each does something n times, atOnce at a time.
func each(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	next := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}

// exitStatus reads what the reaper says of an end; -1 is none of them.
func exitStatus(err error) int {
	var exit *reaper.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Status.Exited():
		return exit.Status.ExitStatus()
	}
	return -1
}
