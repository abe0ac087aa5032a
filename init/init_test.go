package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/power"
)

// TestSignals runs itself as PID 1 of a new PID namespace and sends it all 64
// signals: it lives, and takes those that ask it to go down for what they are.
func TestSignals(t *testing.T) {
	if !testkit.InNamespaces(t, unix.CLONE_NEWPID) {
		return
	}
	if os.Getpid() != 1 {
		t.Fatalf("this is process %d", os.Getpid())
	}
	caught := catchSignals()
	go storm(t)
	got := map[string]power.Action{}
	for len(got) < len(requests()) {
		s := testkit.Receive(t, fmt.Sprintf("the next request after %v, of %d", got, len(requests())), caught)
		if request, ok := meaning(s); ok {
			got[request.By] = request.Action
		}
	}
	want := map[string]power.Action{
		"SIGTERM": power.Off, "Ctrl-Alt-Del": power.Reboot, "SIGPWR": power.Off, "SIGUSR1": power.Halt,
		"SIGUSR2": power.Off, "SIGRTMIN+3": power.Halt, "SIGRTMIN+4": power.Off, "SIGRTMIN+5": power.Reboot,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// storm sends PID 1 every signal, more than once, from a child: signals from the
// process itself are a different matter.
func storm(t *testing.T) {
	signal.Ignore(unix.SIGCHLD)
	for round := range 3 {
		var script strings.Builder
		for s := 1; s <= 64; s++ {
			// KILL and STOP do not reach PID 1; the kernel sees to that.
			fmt.Fprintf(&script, "kill -%d 1; ", s)
		}
		out, err := exec.Command("/bin/sh", "-c", script.String()+"exit 0").CombinedOutput()
		if err != nil && !strings.Contains(err.Error(), "no child") {
			t.Errorf("round %d: %v\n%s", round, err, out)
		}
	}
}

func TestSignalForIsTheInverse(t *testing.T) {
	for _, action := range []power.Action{power.Off, power.Reboot, power.Halt} {
		request, ok := meaning(signalFor(action))
		if !ok || request.Action != action {
			t.Errorf("meaning(signalFor(%v)) = %v, %v", action, request, ok)
		}
	}
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGQUIT, unix.SIGSEGV, unix.SIGPIPE, 64} {
		if request, ok := meaning(s); ok {
			t.Errorf("meaning(%v) = %v; want none", s, request)
		}
	}
}

// TestEverySignalIsDefined: it is a request, or means nothing, and no request has two
// meanings.
func TestEverySignalIsDefined(t *testing.T) {
	defined := map[os.Signal]string{}
	for _, o := range requests() {
		if o.signal < 1 || o.signal > lastSignal || defined[o.signal] != "" {
			t.Errorf("signal %d is there twice, or is none", o.signal)
		}
		defined[o.signal] = o.action.String()
	}
	for s := unix.Signal(1); s <= lastSignal; s++ {
		request, ok := meaning(s)
		if want := defined[s]; ok != (want != "") || ok && (request.Action.String() != want || request.By == "") {
			t.Errorf("meaning(%d) = %+v, %v; want %q", s, request, ok, want)
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	for _, args := range [][]string{{"init"}, {"poweroff", "now"}, {"/sbin/reboot", "-x"}, {"/usr/lib/ketch/init", "console", "x"}} {
		if got := command(args); got != 1 {
			t.Errorf("command(%v) = %d; want 1", args, got)
		}
	}
}

// theReaper is the one that this process may have.
var theReaper = sync.OnceValue(func() *reaper.Reaper { return reaper.New(&kmsg.Log{}) })

func emptySupervisor(m *machine.Machine) *service.Supervisor {
	return service.New(m, theReaper(), nil)
}
