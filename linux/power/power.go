// Package power is reboot(2): the end of the machine's run, and who decides on
// Ctrl-Alt-Del.
package power

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Action is a way to end the machine's run.
type Action int

// The actions.
const (
	Off Action = iota
	Reboot
	Halt
)

// String names the action as PID 1 does on the console.
func (a Action) String() string { return [...]string{"power-off", "reboot", "halt"}[a] }

// command is the argument of reboot(2).
func (a Action) command() int {
	return [...]int{unix.LINUX_REBOOT_CMD_POWER_OFF, unix.LINUX_REBOOT_CMD_RESTART, unix.LINUX_REBOOT_CMD_HALT}[a]
}

// Do ends the machine's run at once, without a sync. It returns only when the
// kernel refuses.
func (a Action) Do() error {
	if err := unix.Reboot(a.command()); err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	return nil
}

// CatchCtrlAltDel makes Ctrl-Alt-Del a SIGINT for PID 1 instead of an immediate
// reset.
func CatchCtrlAltDel() error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		return fmt.Errorf("take over Ctrl-Alt-Del: %w", err)
	}
	return nil
}

// FreeCtrlAltDel makes Ctrl-Alt-Del reset the machine at once, as it does before
// CatchCtrlAltDel.
func FreeCtrlAltDel() error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_ON); err != nil {
		return fmt.Errorf("let go of Ctrl-Alt-Del: %w", err)
	}
	return nil
}
