// Command init is PID 1 of Ketch, in both stages of the boot, and the commands
// poweroff, reboot and halt, which ask it to end.
//
//	boot.go      the two lists of steps that are the boot
//	main.go      what becomes of a boot that fails: the one place that decides
//	serve.go     the loop of the running system
//	liveness.go  what PID 1 must show of itself for the watchdog to be fed
//	signals.go   what each signal means
//	command.go   what this program does when it is not PID 1
//	service/     the table of services, and their supervision
//	gate/        when a boot is good
//	bootcount/   how starts are counted, and the way back to the last good version
//	bootlog/     what a boot tells the next one of itself
//	shutdown/    the way down
//	threads/     the threads that PID 1 has whatever others take
package main

import (
	"os"

	"github.com/ketch-os/ketch/init/bootcount"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/power"
)

func main() {
	if os.Getpid() != 1 {
		os.Exit(command(os.Args))
	}
	signals := catchSignals()
	m, err := machine.New(), error(nil)
	if os.Args[0] != layout.InitramfsInit {
		m, err = machine.Resume(os.Getenv)
	}
	defer crash.Report(m.Log)
	s := newSystem(m)
	request := shutdown.Request{}
	switch {
	case err != nil:
	case os.Args[0] == layout.InitramfsInit:
		err = initramfsStage(m)
	default:
		request, err = s.run(signals)
	}
	if err != nil {
		request = fatal(m, err)
	}
	shutdown.Run(m, s.services, request)
}

// fatal decides what happens when a stage of the boot, or the health gate, fails:
// PID 1 says why and reboots. The boot loader and the boot record have counted
// this try; when the tries run out the last good version is booted. There is no
// shell to fall into, and nothing waits for a person.
func fatal(m *machine.Machine, err error) shutdown.Request {
	m.Log.Open() // it may have failed before there was one
	bootcount.Fail(m, err)
	return shutdown.Request{Action: power.Reboot, Fatal: err}
}
