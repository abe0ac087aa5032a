package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/linux/power"
)

// sigRTMin is the first real-time signal as C libraries count them. So do the
// managers of containers and the agents of hypervisors that ask PID 1 by one.
const sigRTMin = unix.Signal(34)

const lastSignal = 64

// requests is what signals ask for. SIGTERM, SIGINT and SIGPWR come from the
// kernel and from managers of containers; SIGUSR1 and SIGUSR2 are sysvinit's and
// BusyBox's; the real-time ones are systemd's.
func requests() []signalRequest {
	return []signalRequest{
		{unix.SIGTERM, power.Off, "SIGTERM"},
		{unix.SIGINT, power.Reboot, "Ctrl-Alt-Del"},
		{unix.SIGPWR, power.Off, "SIGPWR"},
		{unix.SIGUSR1, power.Halt, "SIGUSR1"},
		{unix.SIGUSR2, power.Off, "SIGUSR2"},
		{sigRTMin + 3, power.Halt, "SIGRTMIN+3"},
		{sigRTMin + 4, power.Off, "SIGRTMIN+4"},
		{sigRTMin + 5, power.Reboot, "SIGRTMIN+5"},
	}
}

type signalRequest struct {
	signal unix.Signal
	action power.Action
	name   string
}

// catchSignals takes every signal, so that none ends PID 1: Go's runtime, unlike
// the kernel, has no exception for it. Left alone are SIGCHLD, which is the
// reaper's, and SIGURG, with which the runtime interrupts itself. Requests come on
// the channel; a storm of the others, which nobody reads, cannot crowd them out.
func catchSignals() <-chan os.Signal {
	caught, ignored := make(chan os.Signal, lastSignal), make(chan os.Signal, 1)
	for s := unix.Signal(1); s <= lastSignal; s++ {
		switch _, request := meaning(s); {
		case s == unix.SIGCHLD || s == unix.SIGURG || s == unix.SIGKILL || s == unix.SIGSTOP:
		case request:
			signal.Notify(caught, s)
		default:
			signal.Notify(ignored, s)
		}
	}
	return caught
}

// meaning returns the request that a signal stands for; most stand for none.
func meaning(got os.Signal) (shutdown.Request, bool) {
	for _, o := range requests() {
		if got == os.Signal(o.signal) {
			return shutdown.Request{Action: o.action, By: o.name}, true
		}
	}
	return shutdown.Request{}, false
}

// signalFor is the inverse of meaning, for the commands.
func signalFor(action power.Action) unix.Signal {
	switch action {
	case power.Reboot:
		return sigRTMin + 5
	case power.Halt:
		return sigRTMin + 3
	}
	return sigRTMin + 4
}
