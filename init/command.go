package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/console"
	"github.com/ketch-os/ketch/init/control"
	"github.com/ketch-os/ketch/init/service"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/socket"
)

// command is this program when it is not PID 1. It returns the exit status.
func command(args []string) int {
	err := fmt.Errorf("this is PID 1 of Ketch: use poweroff, reboot or halt")
	switch name := filepath.Base(args[0]); name {
	case "poweroff":
		err = goDown(name, pid1.PowerOff, args[1:])
	case "reboot", "halt":
		err = goDown(name, name, args[1:])
	default:
		if len(args) == 2 && args[1] == "console" {
			err = console.Offer(os.Stdin, os.Stdout, service.Shell)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

// goDown asks PID 1 to end the machine's run, by its socket, or, where that does
// not answer, by a signal. With -f the kernel is asked at once: nothing is
// stopped, and only what sync saves is saved.
func goDown(name, kind string, args []string) error {
	action, err := control.Action(kind)
	if err != nil {
		return err
	}
	if slices.Contains(args, "-f") || slices.Contains(args, "--force") {
		unix.Sync()
		return action.Do()
	}
	if len(args) > 0 {
		return fmt.Errorf("%s: unknown argument %q (-f: at once, stopping nothing)", name, args[0])
	}
	if ask(name, kind) == nil {
		return nil
	}
	if err := unix.Kill(1, signalFor(action)); err != nil {
		return fmt.Errorf("%s: signal PID 1: %w", name, err)
	}
	return nil
}

func ask(name, kind string) error {
	conn, err := socket.Dial(layout.InitSocket, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = pid1.Exchange(conn, pid1.Request{Do: pid1.DoPower, Power: kind, By: name})
	return err
}
