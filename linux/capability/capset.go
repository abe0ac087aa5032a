package capability

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// set makes a set the one of every thread.
func set(mask uint64) error {
	h, d := header{Version: unix.LINUX_CAPABILITY_VERSION_3}, words(mask)
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
