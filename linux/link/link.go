// Package link brings a network interface up (netdevice(7)). PID 1 needs it for
// the loopback interface alone; the network belongs to ketchd.
package link

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Up sets the interface's IFF_UP. The kernel gives a loopback interface its
// addresses by itself.
func Up(name string) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring up %s: %w", name, os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return fmt.Errorf("bring up %s: ioctl(SIOCGIFFLAGS): %w", name, err)
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring up %s: ioctl(SIOCSIFFLAGS): %w", name, err)
	}
	return nil
}
