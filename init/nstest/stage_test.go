package nstest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/mount"
)

// stage runs inside of the namespaces and does what the initramfs stage does on
// a machine: it makes a root, moves there and becomes PID 1's second stage.
func stage(dir string, programs []string) error {
	runtime.LockOSThread() // what follows is of this thread, which then executes PID 1
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	root := filepath.Join(dir, "root")
	if err := makeRoot(root, dir, programs); err != nil {
		return err
	}
	if err := moveTo(root); err != nil {
		return err
	}
	m := machine.New()
	m.Version = "nstest"
	environment, err := m.Handoff()
	if err != nil {
		return err
	}
	if err := pretend(); err != nil {
		return err
	}
	return unix.Exec(layout.InitPath, []string{layout.InitPath}, environment)
}

// makeRoot makes what PID 1 finds. Of the host there are only libraries, for this
// program, and the devices that everybody may use.
func makeRoot(root, dir string, programs []string) error {
	const bind = unix.MS_BIND | unix.MS_REC
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	self := []string{"/usr/bin/containerd=/proc/self/exe", "/usr/bin/ketchd=/proc/self/exe"}
	table := []mount.Mount{{Source: "tmpfs", Target: root, Type: "tmpfs", Data: "mode=0755"}}
	for _, name := range []string{"/lib", "/lib64"} {
		table = append(table, mount.Mount{Source: name, Target: root + name, Flags: bind, Optional: true})
	}
	table = append(table,
		mount.Mount{Source: "proc", Target: root + "/proc", Type: "proc"},
		// A process of the host's root may write there, whatever its namespace.
		mount.Mount{Source: "tmpfs", Target: root + "/proc/sys", Type: "tmpfs"},
	)
	if err := mount.All(table, func(error) {}); err != nil {
		return err
	}
	for _, name := range []string{"/usr/share/ketch/etc", "/etc", "/var", "/tmp", "/run", "/dev", "/sys", "/root"} {
		if err := os.MkdirAll(root+name, 0o755); err != nil {
			return err
		}
	}
	for _, file := range [][2]string{
		{"/dev/null", "/dev/null"}, {"/dev/zero", "/dev/zero"}, {"/dev/urandom", "/dev/urandom"},
		{filepath.Join(dir, "kmsg"), "/dev/kmsg"},
	} {
		if err := bindFile(file[0], root+file[1]); err != nil {
			return err
		}
	}
	// There too; not every kernel has it.
	if _, err := os.Stat(root + "/proc/sysrq-trigger"); err == nil {
		if err := bindFile("/dev/null", root+"/proc/sysrq-trigger"); err != nil {
			return err
		}
	}
	for _, program := range append(self, programs...) {
		to, from, _ := strings.Cut(program, "=")
		if err := copyProgram(root+to, from); err != nil {
			return err
		}
	}
	return nil
}

func bindFile(from, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE, 0o600)
	if err == nil {
		f.Close()
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}

func copyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// moveTo makes root the root and leaves nothing of the old one (pivot_root(2)).
func moveTo(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("umount", err)
	}
	return os.Chdir("/")
}

// pretend lets two system calls succeed and do nothing that the kernel refuses in
// namespaces: reboot(LINUX_REBOOT_CMD_CAD_OFF), because there is no Ctrl-Alt-Del,
// and prlimit(2) with a new limit, above the host's. Offsets are those of struct
// seccomp_data.
func pretend() error {
	const number, third = 0, 16 + 2*8
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	equal := func(value uint32, skip, skipElse uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jt: skip, Jf: skipElse}
	}
	answer := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	filter := []unix.SockFilter{
		load(number),
		equal(unix.SYS_REBOOT, 0, 2),
		load(third),
		equal(unix.LINUX_REBOOT_CMD_CAD_OFF, 4, 3),
		equal(unix.SYS_PRLIMIT64, 0, 2),
		load(third),
		equal(0, 0, 1), // it only reads the limit
		answer(unix.SECCOMP_RET_ALLOW),
		answer(unix.SECCOMP_RET_ERRNO), // with error number 0: success
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
}
