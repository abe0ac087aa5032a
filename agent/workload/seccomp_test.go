package workload

import (
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestNoOFDLocks: no spelling of the command takes a lock of an open file description,
// and every other command of fcntl goes.
func TestNoOFDLocks(t *testing.T) {
	spec := &oci.Spec{Linux: new(specs.Linux), Process: &specs.Process{Capabilities: new(specs.LinuxCapabilities)}}
	if err := withSeccomp(t.Context(), nil, nil, spec); err != nil {
		t.Fatal(err)
	}
	// Rules of one call do not overlap here: libseccomp takes them in any order.
	answer := func(name string, command uint64) (found []specs.LinuxSyscall) {
		for _, rule := range spec.Linux.Seccomp.Syscalls {
			if !slices.Contains(rule.Names, name) {
				continue
			}
			if len(rule.Args) != 1 || rule.Args[0].Index != 1 || rule.Args[0].Op != specs.OpMaskedEqual {
				t.Fatalf("rule for %s: %+v; want one for the command", name, rule)
			}
			if command&rule.Args[0].Value == rule.Args[0].ValueTwo {
				found = append(found, rule)
			}
		}
		return found
	}
	for _, name := range []string{"fcntl", "fcntl64"} {
		for _, command := range []uint64{unix.F_OFD_GETLK, unix.F_OFD_SETLK, unix.F_OFD_SETLKW, 1<<32 | unix.F_OFD_SETLK, 1<<63 | unix.F_OFD_SETLKW} {
			if got := answer(name, command); len(got) != 1 || got[0].Action != specs.ActErrno || got[0].ErrnoRet == nil || *got[0].ErrnoRet != uint(unix.EINVAL) {
				t.Errorf("%s(%#x): %+v; want EINVAL", name, command, got)
			}
		}
		for _, command := range []uint64{
			unix.F_DUPFD, unix.F_GETFD, unix.F_SETFL, unix.F_GETLK, unix.F_SETLK, unix.F_SETLKW, 12, 13, 14, unix.F_SETOWN_EX, unix.F_GETOWN_EX, 17,
			unix.F_SETLEASE, unix.F_GETLEASE, unix.F_NOTIFY, unix.F_DUPFD_CLOEXEC, unix.F_SETPIPE_SZ, unix.F_ADD_SEALS, unix.F_SET_FILE_RW_HINT, 1<<32 | unix.F_SETLK,
		} {
			if got := answer(name, command); len(got) != 1 || got[0].Action != specs.ActAllow {
				t.Errorf("%s(%#x): %+v; want it allowed", name, command, got)
			}
		}
	}
}
