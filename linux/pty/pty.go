// Package pty makes pseudo-terminals (pts(4)) and sets what they do with what passes
// through them (termios(3)).
package pty

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Open returns both ends of a new pseudo-terminal: the one that a program drives,
// and the terminal itself, which is nobody's controlling terminal yet.
func Open() (master, terminal *os.File, err error) {
	// O_NONBLOCK: Go's poller waits, so that Close ends a Read.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("ioctl(TIOCSPTLCK)", err), master.Close())
	}
	// By its descriptor: its name may lead elsewhere in another mount namespace.
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return nil, nil, errors.Join(os.NewSyscallError("ioctl(TIOCGPTPEER)", errno), master.Close())
	}
	return master, os.NewFile(peer, "/dev/pts"), nil
}

// Name is the path of the terminal that a master drives.
func Name(master *os.File) (string, error) {
	var number int
	err := control(master, func(fd int) (err error) {
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return os.NewSyscallError("ioctl(TIOCGPTN)", err)
	})
	return fmt.Sprintf("/dev/pts/%d", number), err
}

// Size is how large a terminal is, in characters and in pixels; 0 is not known.
type Size struct{ Columns, Rows, Width, Height uint16 }

// Resize tells the programs on the terminal that it has another size (SIGWINCH).
func Resize(master *os.File, s Size) error {
	size := &unix.Winsize{Col: s.Columns, Row: s.Rows, Xpixel: s.Width, Ypixel: s.Height}
	return control(master, func(fd int) error {
		return os.NewSyscallError("ioctl(TIOCSWINSZ)", unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size))
	})
}

// Set changes what the terminal does with what passes through it.
func Set(terminal *os.File, modes Modes) error {
	return control(terminal, func(fd int) error {
		termios, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return os.NewSyscallError("ioctl(TCGETS)", err)
		}
		modes.apply(termios)
		return os.NewSyscallError("ioctl(TCSETS)", unix.IoctlSetTermios(fd, unix.TCSETS, termios))
	})
}

// control does something with a file's descriptor, which stays as it is.
func control(file *os.File, do func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil {
		return err
	}
	return done
}
