// Package capability gives up the powers of root that a process does not need
// (capabilities(7)). It works where cgo is off: the calls concern every thread.
package capability

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// header and data are struct __user_cap_header_struct and __user_cap_data_struct of
// version 3, whose sets have 64 bits in two words.
type header struct {
	Version uint32
	PID     int32
}

type data struct{ Effective, Permitted, Inheritable uint32 }

// Keep leaves this process, and all that it starts, no capabilities but these
// (CAP_… of package unix), and no way to others: no_new_privs is set, too.
func Keep(kept ...int) error {
	var mask uint64
	for _, c := range kept {
		mask |= 1 << c
	}
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if mask&(1<<c) != 0 {
			continue
		}
		if err := all(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c)); err != nil && !errors.Is(err, unix.EINVAL) { // a kernel that has fewer
			return os.NewSyscallError("prctl(PR_CAPBSET_DROP)", err)
		}
	}
	if err := set(mask); err != nil {
		return os.NewSyscallError("capset", err)
	}
	return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", all(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1))
}

// words are a set in the two words of the kernel's.
func words(mask uint64) [2]data {
	low, high := uint32(mask), uint32(mask>>32)
	return [2]data{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
}

// all makes a system call on every thread.
func all(trap, a, b uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a, b, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
