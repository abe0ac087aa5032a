// Package timex sets and steers the kernel's clock (adjtimex(2)).
package timex

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// MaxSlew is the largest offset that the kernel takes away bit by bit: more is cut
// down to it (kernel/time/ntp.c, MAXPHASE).
const MaxSlew = 500 * time.Millisecond

// Step moves the clock at once.
func Step(offset time.Duration) error { return adjust(step(offset), "step clock") }

// Slew lets the kernel take an offset away bit by bit, and learn from it how fast the
// clock goes: its phase-locked loop (RFC 5905, 11.3). poll is the time until the next
// call, and uncertain how wrong the offset may be.
func Slew(offset, poll, uncertain time.Duration) error {
	return adjust(slew(offset, poll, uncertain), "slew clock")
}

// State is what the kernel knows of its clock.
type State struct {
	Synchronised bool
	Frequency    float64 // in parts per million: how much faster it makes the clock go
}

// Read reads it.
func Read() (State, error) {
	var t unix.Timex
	status, err := unix.Adjtimex(&t)
	if err != nil {
		return State{}, fmt.Errorf("read clock: %w", os.NewSyscallError("adjtimex", err))
	}
	return State{status != unix.TIME_ERROR, float64(t.Freq) / (1 << 16)}, nil
}

func adjust(t unix.Timex, what string) error {
	if _, err := unix.Adjtimex(&t); err != nil {
		return fmt.Errorf("%s: %w", what, os.NewSyscallError("adjtimex", err))
	}
	return nil
}

// step encodes a step. The microseconds of it are never negative.
func step(offset time.Duration) unix.Timex {
	t := unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO}
	seconds := offset / time.Second
	rest := offset % time.Second
	if rest < 0 {
		seconds, rest = seconds-1, rest+time.Second
	}
	t.Time.Sec, t.Time.Usec = int64(seconds), int64(rest) // nanoseconds, with ADJ_NANO
	return t
}

// slew encodes an offset for the loop. Its time constant follows the poll interval, as
// that of RFC 5905 does: the kernel counts it from 16 s on.
func slew(offset, poll, uncertain time.Duration) unix.Timex {
	constant := int64(0)
	for span := 16 * time.Second; span < poll && constant < maxConstant; span *= 2 {
		constant++
	}
	micro := uncertain.Microseconds()
	return unix.Timex{
		Modes:    unix.ADJ_OFFSET | unix.ADJ_NANO | unix.ADJ_STATUS | unix.ADJ_TIMECONST | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR,
		Offset:   int64(min(max(offset, -MaxSlew), MaxSlew)),
		Status:   unix.STA_PLL | unix.STA_NANO,
		Constant: constant,
		Maxerror: micro, Esterror: micro,
	}
}

// maxConstant is the largest time constant (kernel/time/ntp.c, MAXTC).
const maxConstant = 10
