package service

import (
	"time"

	"ketch/init/probe"
	"ketch/layout"
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

// probeLimit is how long one probe may take.
const probeLimit = 2 * time.Second

const mib = 1 << 20

// Table is the system's services, in the order they start. terminal is the
// device of the console, empty for none; self the path of this program.
func Table(terminal, self string) []Service {
	table := []Service{
		{
			Name:      Containerd,
			Args:      []string{"/usr/bin/containerd", "--config", layout.ContainerdConfig},
			Ready:     func() error { return probe.HTTP2(layout.ContainerdSocket, probeLimit) },
			OOMScore:  -999,
			MemoryMin: 32 * mib,
		},
		{
			Name:      Ketchd,
			Args:      []string{"/usr/bin/ketchd"},
			After:     Containerd,
			Ready:     func() error { return probe.HTTP(layout.KetchdSocket, "/v1/health", probeLimit) },
			Console:   true,
			OOMScore:  -900,
			StopLimit: KetchdStop,
		},
		{
			Name:     "debugd",
			Args:     []string{layout.DebugDaemon},
			If:       []string{layout.DebugDaemon},
			OOMScore: -900,
		},
	}
	if terminal != "" {
		table = append(table, Service{
			Name: "console",
			Args: []string{self, "console"},
			If:   []string{layout.DebugDaemon, Shell},
			TTY:  terminal,
		})
	}
	return table
}

// Shell is what the console runs, on a debug image alone.
const Shell = "/usr/bin/sh"
