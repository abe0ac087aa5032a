package workload

import (
	"context"
	"slices"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// withSeccomp gives a container containerd's default profile without locks of open
// file descriptions (fcntl_locking(2), F_OFD_SETLK). The kernel charges locks to nobody.
// Those of processes can be counted; these outlive every descriptor, in a mapping or a
// message, where nobody sees whose they are. Programs are told what a kernel before
// Linux 3.15 tells them, of all three commands, because they ask with F_OFD_GETLK.
func withSeccomp(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	profile := seccomp.DefaultProfile(s)
	names := []string{"fcntl", "fcntl64"}
	for i, rule := range profile.Syscalls {
		profile.Syscalls[i].Names = slices.DeleteFunc(rule.Names, func(name string) bool { return slices.Contains(names, name) })
	}
	invalid := uint(unix.EINVAL)
	for _, rule := range []struct {
		first  uint64
		action specs.LinuxSeccompAction
		errno  *uint
	}{
		{0, specs.ActAllow, nil},
		{unix.F_OFD_GETLK &^ (commandLot - 1), specs.ActErrno, &invalid},
		{unix.F_SETLEASE, specs.ActAllow, nil}, // Linux's own
	} {
		profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{
			Names: names, Action: rule.action, ErrnoRet: rule.errno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Op: specs.OpMaskedEqual, Value: commandMask, ValueTwo: rule.first}},
		})
	}
	s.Linux.Seccomp = profile
	return nil
}

// Commands of fcntl are told apart by lots of 32. Each lot of those that Linux has
// (include/uapi/linux/fcntl.h, asm-generic/fcntl.h) is allowed or refused as a whole.
// The kernel takes the lower half of the register alone.
const (
	commandLot  = 32
	commandMask = 1<<32 - commandLot
)
