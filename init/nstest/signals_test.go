package nstest

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/layout"
)

// lastSignal is the highest there is (signal(7)).
const lastSignal = unix.Signal(64)

// Real-time signals count from here in C libraries.
const sigRTMin = unix.Signal(34)

// request is what a signal makes of PID 1.
type request struct {
	say string      // on the console
	end unix.Signal // as its parent sees its end: see instance.end
}

// requests are the signals that mean something. All others mean nothing.
func requests() map[unix.Signal]request {
	return map[unix.Signal]request{
		unix.SIGTERM: {"power-off (asked by SIGTERM)", unix.SIGINT},
		unix.SIGINT:  {"reboot (asked by Ctrl-Alt-Del)", unix.SIGHUP},
		unix.SIGPWR:  {"power-off (asked by SIGPWR)", unix.SIGINT},
		unix.SIGUSR1: {"halt (asked by SIGUSR1)", unix.SIGINT},
		unix.SIGUSR2: {"power-off (asked by SIGUSR2)", unix.SIGINT},
		sigRTMin + 3: {"halt (asked by SIGRTMIN+3)", unix.SIGINT},
		sigRTMin + 4: {"power-off (asked by SIGRTMIN+4)", unix.SIGINT},
		sigRTMin + 5: {"reboot (asked by SIGRTMIN+5)", unix.SIGHUP},
	}
}

// TestBoots: the real program gets to a good boot, and says what it lacks.
func TestBoots(t *testing.T) {
	t.Parallel()
	p := boot(t, nil)
	s := p.status()
	if !s.Ready || !s.Good || len(s.Degraded) == 0 {
		t.Errorf("ready %v, good %v, degraded %q; want a good boot with a /var in memory", s.Ready, s.Good, s.Degraded)
	}
}

// TestSurvivesSignals sends every signal that means nothing, a thousand times,
// from outside of the namespace: the kernel protects PID 1 only from its own
// children's. SIGKILL and SIGSTOP nobody can take.
func TestSurvivesSignals(t *testing.T) {
	t.Parallel()
	p := boot(t, nil)
	means := requests()
	for range 1000 {
		for s := unix.Signal(1); s <= lastSignal; s++ {
			if _, ok := means[s]; ok || s == unix.SIGKILL || s == unix.SIGSTOP {
				continue
			}
			if err := p.cmd.Process.Signal(s); err != nil {
				t.Fatalf("send signal %d: %v", s, err)
			}
		}
	}
	p.exit(service.Ketchd, 0, 9) // it still does its work
	if s := p.status(); !s.Good || s.GoingDown != "" {
		t.Errorf("after the storm: good %v, going down %q", s.Good, s.GoingDown)
	}
}

// TestSignalsTakeItDown sends each signal that means something to a PID 1 of its own.
func TestSignalsTakeItDown(t *testing.T) {
	for s, want := range requests() {
		t.Run(want.say, func(t *testing.T) {
			t.Parallel()
			p := boot(t, nil)
			if err := p.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if got := p.end(); got != want.end {
				t.Errorf("signal %d ended PID 1 by %v; want %v", s, got, want.end)
			}
			p.waitLine(layout.ConsolePrefix + layout.SayDown + want.say)
		})
	}
}
