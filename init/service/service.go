// Package service supervises the processes that make up the running system:
// each is started when what it needs is ready, into a control group of its own,
// probed until it is ready and for as long as it is, started again when it ends or
// hangs, and stopped in good time. Which ones there are is a table of Service.
package service

import (
	"time"

	"github.com/ketch-os/ketch/internal/backoff"
)

// Service is one entry of the table.
type Service struct {
	Name  string
	Args  []string // Args[0] is the path of the program
	Env   []string // beside Environment
	After string   // the service that must be ready first
	// Patience is how long After is waited for: what helps a person whose machine
	// does not come up must run without it, too. 0: for ever.
	Patience time.Duration
	// RequiresFiles must all exist, or the image has no such service.
	RequiresFiles []string
	// While is a file that comes and goes: the service runs while it is there.
	While    string
	Ready    func() error // probe; nil: ready as soon as it runs
	Alive    func() error // probe of one that is ready; nil: only its end counts
	Pace     Pace         // of Alive
	Console  bool         // its standard output goes to the console too
	TTY      string       // a terminal it runs on: its device; nothing is logged
	OOMScore int          // oom_score_adj(5): -1000 never … 1000 first
	Limits   Limits       // of its control group
	// KeepChildren lets what it has started live on when it is started again.
	KeepChildren bool
	StopLimit    time.Duration // from SIGTERM to SIGKILL; 0: DefaultStopLimit
}

// Limits of a control group; 0 is none.
type Limits struct {
	MemoryMin int64 // bytes that reclaim leaves alone
	MemoryMax int64 // bytes
	PIDsMax   int64 // processes and threads
}

// Pace is how a service that is ready is probed.
type Pace struct {
	Every    time.Duration // pause between two probes; 0: aliveEvery
	Failures int           // so many in a row: it hangs, and is killed; 0: aliveFailures
}

// DefaultStopLimit is how long a service may take to end.
const DefaultStopLimit = 10 * time.Second

// Environment is what every service gets. PID 1's own is not inherited.
func Environment() []string {
	return []string{"PATH=/usr/sbin:/usr/bin", "HOME=/root", "LANG=C.UTF-8"}
}

const (
	// readyLimit is how long a process may run without getting ready before it
	// counts as hung and is killed.
	readyLimit = 2 * time.Minute
	// aliveEvery and aliveFailures are the usual Pace.
	aliveEvery    = 5 * time.Second
	aliveFailures = 3
	// lookEvery is how often is looked whether a service is still wanted.
	lookEvery = time.Second
	// killLimit is how long a process may take to die of SIGKILL.
	killLimit = 5 * time.Second
	// stable is how long a process must have been ready to be forgiven its
	// earlier failures.
	stable = time.Minute
	// degradedAfter is how many failures in a row make a service degraded.
	degradedAfter = 5
)

// restarts are the pauses before a service is started again.
var restarts = backoff.Pause{First: 250 * time.Millisecond, Last: time.Minute}
