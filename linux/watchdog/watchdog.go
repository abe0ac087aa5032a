// Package watchdog arms a hardware watchdog (Documentation/watchdog/
// watchdog-api.rst). Once open it resets the machine unless it is pinged in
// time. Nothing here disarms one: the "magic close" is left out on purpose.
package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Device is an armed watchdog.
type Device struct {
	Identity string        // what the driver calls it
	Timeout  time.Duration // as the driver accepted it
	f        *os.File
}

// info is struct watchdog_info.
type info struct {
	Options         uint32   // 0
	FirmwareVersion uint32   // 4
	Identity        [32]byte // 8
}

// Arm opens the first watchdog that works and asks for a timeout. When there is
// none the error says what each refused.
func Arm(timeout time.Duration) (*Device, error) { return arm(paths(os.DirFS("/sys")), timeout) }

func arm(paths []string, timeout time.Duration) (*Device, error) {
	var refused []error
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		return adopt(f, timeout), nil
	}
	if refused == nil {
		return nil, errors.New("this machine has none")
	}
	return nil, errors.Join(refused...)
}

// softdog is what the kernel's software watchdog calls itself. It helps against a
// hung PID 1 but not against a hung kernel, so it comes last.
const softdog = "Software Watchdog"

// paths lists the devices in the order to try them.
func paths(sys fs.FS) []string {
	names, _ := fs.Glob(sys, "class/watchdog/watchdog*")
	var hardware, software []string
	for _, name := range names {
		path := "/dev/" + filepath.Base(name)
		identity, _ := fs.ReadFile(sys, name+"/identity")
		if strings.TrimSpace(string(identity)) == softdog {
			software = append(software, path)
		} else {
			hardware = append(hardware, path)
		}
	}
	return append(hardware, software...)
}

// Inherit takes over the watchdog that an earlier stage of PID 1 left open.
func Inherit(fd uintptr, timeout time.Duration) *Device {
	unix.CloseOnExec(int(fd)) // Keep has let it through one exec: it is nobody else's
	return adopt(os.NewFile(fd, "watchdog"), timeout)
}

// adopt does not care whether the driver knows each ioctl: an open watchdog is
// armed, with the timeout it has.
func adopt(f *os.File, timeout time.Duration) *Device {
	d := &Device{f: f, Timeout: timeout, Identity: f.Name()}
	d.SetTimeout(timeout)
	var i info
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.WDIOC_GETSUPPORT, uintptr(unsafe.Pointer(&i))); errno == 0 {
		d.Identity = strings.TrimRight(string(i.Identity[:]), "\x00")
	}
	return d
}

// SetTimeout asks for another timeout; Timeout then holds what the driver made
// of it. It counts as a ping.
func (d *Device) SetTimeout(timeout time.Duration) error {
	if d == nil {
		return nil
	}
	seconds := int32(timeout / time.Second)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), unix.WDIOC_SETTIMEOUT, uintptr(unsafe.Pointer(&seconds)))
	if errno != 0 {
		if now, err := unix.IoctlGetInt(int(d.f.Fd()), unix.WDIOC_GETTIMEOUT); err == nil {
			d.Timeout = time.Duration(now) * time.Second
		}
		return fmt.Errorf("ioctl(WDIOC_SETTIMEOUT) of %s: %w", d.Identity, errno)
	}
	d.Timeout = time.Duration(seconds) * time.Second
	return d.Ping()
}

// Ping puts the reset off by another timeout. A nil Device is no watchdog at all.
func (d *Device) Ping() error {
	if d == nil {
		return nil
	}
	if _, err := d.f.Write([]byte{0}); err != nil {
		return fmt.Errorf("ping watchdog: %w", err)
	}
	return nil
}

// Keep makes the device stay open, and armed, across exec, and returns its
// descriptor for Inherit.
func (d *Device) Keep() (fd uintptr, err error) {
	if _, err := unix.FcntlInt(d.f.Fd(), unix.F_SETFD, 0); err != nil {
		return 0, fmt.Errorf("keep watchdog open: %w", err)
	}
	return d.f.Fd(), nil
}
