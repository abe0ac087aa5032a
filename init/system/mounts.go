// Package system sets up what every process of the running system finds in place:
// kernel file systems, kernel parameters, limits, /etc, the clock, the machine's
// identity and /var. Each file is one subject.
package system

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/mount"
)

// Early are the mounts that PID 1 cannot do without from the first moment. The
// initramfs stage makes them and moves them to the new root.
func Early() []mount.Mount {
	const closed = mount.NoSUID | mount.NoDev | mount.NoExec
	return []mount.Mount{
		{Source: "proc", Target: "/proc", Type: "proc", Flags: closed},
		{Source: "sysfs", Target: "/sys", Type: "sysfs", Flags: closed},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs", Flags: mount.NoSUID | mount.NoExec, Data: "mode=0755"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Flags: mount.NoSUID | mount.NoDev, Data: "mode=0755,size=20%"},
		// Read-only: a stray write to a variable can keep firmware from starting.
		{Source: "efivarfs", Target: "/sys/firmware/efi/efivars", Type: "efivarfs", Flags: closed | mount.ReadOnly, Optional: true},
	}
}

// Moved are the mount points of Early that take others along.
func Moved() []string { return []string{"/proc", "/sys", "/dev", "/run"} }

// late are the mounts of stage two.
func late() []mount.Mount {
	const closed = mount.NoSUID | mount.NoDev | mount.NoExec
	return []mount.Mount{
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Flags: mount.NoSUID | mount.NoExec, Data: "gid=5,mode=620,ptmxmode=666"},
		{Source: "tmpfs", Target: "/dev/shm", Type: "tmpfs", Flags: mount.NoSUID | mount.NoDev, Data: "mode=1777"},
		{Source: "tmpfs", Target: "/tmp", Type: "tmpfs", Flags: mount.NoSUID | mount.NoDev, Data: "mode=1777,size=50%"},
		// nsdelegate: a container's own namespace is a boundary.
		// memory_recursiveprot: memory.min of a group protects what is below it.
		{Source: "cgroup2", Target: "/sys/fs/cgroup", Type: "cgroup2", Flags: closed, Data: "nsdelegate,memory_recursiveprot"},
		{Source: "securityfs", Target: "/sys/kernel/security", Type: "securityfs", Flags: closed, Optional: true},
		{Source: "bpf", Target: "/sys/fs/bpf", Type: "bpf", Flags: closed, Data: "mode=700", Optional: true},
		{Source: "pstore", Target: "/sys/fs/pstore", Type: "pstore", Flags: closed, Optional: true},
	}
}

// Mounts mounts the rest of the kernel's file systems. Containers see mounts
// that are made after they start because everything is shared.
func Mounts(skipped func(error)) error {
	if err := mount.All(late(), skipped); err != nil {
		return err
	}
	// Programs expect these names; the kernel does not make them.
	for name, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2", "/dev/core": "/proc/kcore",
	} {
		if err := os.Symlink(target, name); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return mount.Share("/")
}

// Limits sets the resource limits that every process inherits. The soft limit of
// open files stays low for the sake of select(2); programs that know better, as
// Go's do, raise it themselves.
func Limits() error {
	for resource, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_NOFILE: {Cur: 1024, Max: 1 << 20},
		unix.RLIMIT_CORE:   {Cur: 0, Max: unix.RLIM_INFINITY},
	} {
		if err := unix.Setrlimit(resource, &limit); err != nil {
			return os.NewSyscallError("setrlimit", err)
		}
	}
	return nil
}
