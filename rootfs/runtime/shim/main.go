// Command containerd-shim-runc-v2 is containerd's shim for runc, without
// CAP_SYS_RESOURCE. The shim mounts a container's overlay, and overlayfs writes
// with the rights of whoever mounted it: with that capability a container would
// be bound neither by the quota of its writable layer nor by the blocks that ext4
// reserves. runc and containers, its children, lack it too.
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task/plugin"
	"github.com/containerd/containerd/v2/pkg/shim"
	"golang.org/x/sys/unix"
)

func main() {
	if err := drop(unix.CAP_SYS_RESOURCE); err != nil {
		fmt.Fprintln(os.Stderr, "containerd-shim-runc-v2: drop CAP_SYS_RESOURCE:", err)
		os.Exit(1)
	}
	shim.RunShim(context.Background(), manager.NewShimManager("io.containerd.runc.v2"))
}

// drop takes a capability from every thread of this process, for good, and from
// whatever it executes (capabilities(7)).
func drop(capability uintptr) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // 32 capabilities each
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, capability, 0); errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	set, bit := &sets[capability/32], uint32(1)<<(capability%32)
	set.Effective &^= bit
	set.Permitted &^= bit
	set.Inheritable &^= bit
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}
