package service

import (
	"time"

	"github.com/ketch-os/ketch/init/probe"
	"github.com/ketch-os/ketch/layout"
)

// The names of services that other parts of PID 1 know.
const (
	Containerd = "containerd"
	Ketchd     = "ketchd"
	// Groups is the control group that holds a group for each service.
	Groups = "services"
	// KetchdStop is how long ketchd may take to stop the workloads.
	KetchdStop = 40 * time.Second
)

const (
	// probeLimit is how long a probe of a service that starts may take.
	probeLimit = 2 * time.Second
	// aliveLimit is how long a probe may take that decides whether a service
	// hangs. A busy machine is slow, and killing the service would not help.
	aliveLimit = 10 * time.Second
	// patience is how long the doors of a debug image stay shut on a machine whose
	// services do not get ready: the boot of one that does is not held up by them.
	patience = 5 * time.Second
)

const mib = 1 << 20

// Table is the system's services, in the order they start. terminal is the
// device of the console, empty for none; self the path of this program.
func Table(terminal, self string) []Service {
	table := []Service{
		{
			Name:         Containerd,
			Args:         []string{"/usr/bin/containerd", "--config", layout.ContainerdConfig},
			Ready:        func() error { return probe.HTTP2(layout.ContainerdSocket, probeLimit) },
			Alive:        func() error { return probe.HTTP2(layout.ContainerdSocket, aliveLimit) },
			OOMScore:     -999,
			Limits:       Limits{MemoryMin: 32 * mib},
			KeepChildren: true, // the shims, which hold the containers
		},
		{
			Name:  Ketchd,
			Args:  []string{"/usr/bin/ketchd"},
			After: Containerd,
			Ready: func() error { return probe.HTTP(layout.KetchdSocket, health, probeLimit) },
			// Any answer will do: one that tells of a containerd in trouble, too.
			Alive:     func() error { return probe.Answers(layout.KetchdSocket, health, aliveLimit) },
			Console:   true,
			OOMScore:  -900,
			Limits:    Limits{MemoryMin: 16 * mib, MemoryMax: 256 * mib, PIDsMax: 512},
			StopLimit: KetchdStop,
		},
		{
			Name:          "sshd",
			Args:          []string{"/usr/bin/ketch-sshd"},
			RequiresFiles: []string{"/usr/bin/ketch-sshd"},
			While:         layout.AccessFile, // no keys, no server
			Console:       true,
			OOMScore:      -800,
			Limits:        accessLimits(),
		},
		{
			Name:          "debugd",
			Args:          []string{layout.DebugDaemon},
			After:         Ketchd,
			Patience:      patience,
			RequiresFiles: []string{layout.DebugDaemon},
			Limits:        Limits{PIDsMax: 4096},
		},
	}
	if terminal != "" {
		table = append(table, Service{
			Name:          "console",
			Args:          []string{self, "console"},
			After:         Ketchd,
			Patience:      patience,
			RequiresFiles: []string{layout.DebugDaemon, Shell},
			TTY:           terminal,
			Limits:        Limits{PIDsMax: 4096},
		})
	}
	return table
}

// accessLimits bound the SSH server together with what people run through it. On a
// debug image that may be anything.
func accessLimits() Limits {
	if missing(Shell) {
		return Limits{MemoryMax: 128 * mib, PIDsMax: 1024}
	}
	return Limits{PIDsMax: 4096}
}

// health is what ketchd answers when it can do its work.
const health = "/v1/health"

// Shell is what the console runs, on a debug image alone.
const Shell = "/usr/bin/sh"
