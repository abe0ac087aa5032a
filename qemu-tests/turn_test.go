package qemutests

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// More tests run at once than there are processors: a machine often only waits,
// for a watchdog or for a limit to pass. But if too many emulate a boot at once,
// each is slower than its limits allow. So machines start one after the other,
// each when a processor of the host has nothing to do.

const (
	// turnLimit is how long a machine waits, on a host that others keep busy too.
	turnLimit = 90 * time.Second
	// turnLook is how long the host is looked at.
	turnLook = 500 * time.Millisecond
	// turnIdle is how much of one processor must be idle.
	turnIdle = 0.5
)

var turn sync.Mutex

// takeTurn returns when a machine may start.
func takeTurn(t testing.TB) {
	t.Helper()
	turn.Lock()
	defer turn.Unlock()
	for deadline := time.Now().Add(turnLimit); time.Now().Before(deadline); {
		before := idleTime(t)
		time.Sleep(turnLook)
		if idleTime(t)-before >= time.Duration(turnIdle*float64(turnLook)) {
			return
		}
	}
}

// idleTime is for how long the host's processors have been idle, all together.
func idleTime(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var user, nice, system, idle, waiting int64 // proc_stat(5), in ticks
	if _, err := fmt.Sscanf(string(stat), "cpu %d %d %d %d %d", &user, &nice, &system, &idle, &waiting); err != nil {
		t.Fatalf("/proc/stat: %v", err)
	}
	return time.Duration(idle+waiting) * time.Second / userHZ
}

// userHZ is the kernel's tick as it tells it to programs, on every architecture
// that Ketch knows.
const userHZ = 100
