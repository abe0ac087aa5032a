// Package socket is Unix stream sockets (unix(7)) without package net, which
// would bring a DNS resolver into PID 1. Sockets are files in Go's poller: they
// have deadlines, and closing one ends a waiting call.
package socket

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// backlog is how many clients may wait to be accepted.
const backlog = 16

// Listener waits for connections.
type Listener struct{ f *os.File }

// Listen makes a socket at path with a mode, in place of one that is left there.
func Listen(path string, mode os.FileMode) (*Listener, error) {
	fd, err := stream()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l := &Listener{os.NewFile(uintptr(fd), path)}
	os.Remove(path)
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		// Nobody can connect before the mode is right: it does not listen yet.
		err = os.Chmod(path, mode)
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// Accept waits for the next connection.
func (l *Listener) Accept() (*os.File, error) {
	raw, err := l.f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.f.Name(), err)
	}
	var fd int
	var failed error
	err = raw.Read(func(listening uintptr) bool {
		fd, _, failed = unix.Accept4(int(listening), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return failed != unix.EAGAIN && failed != unix.EINTR && failed != unix.ECONNABORTED
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.f.Name(), err)
	}
	return os.NewFile(uintptr(fd), l.f.Name()), nil
}

// Close ends the listening and a waiting Accept; the path stays.
func (l *Listener) Close() error { return l.f.Close() }

// Dial connects to a socket and gives the connection a deadline. A server that
// is there but does not accept is an error at once.
func Dial(path string, limit time.Duration) (*os.File, error) {
	fd, err := stream()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	// Only a connected socket goes to the poller: one that is not reports a hang-up.
	conn := os.NewFile(uintptr(fd), path)
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return conn, nil
}

// Peer returns the process at the other end of a connection.
func Peer(conn syscall.Conn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, os.NewSyscallError("getsockopt(SO_PEERCRED)", failed)
	}
	return int(cred.Pid), nil
}

func stream() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	return fd, os.NewSyscallError("socket", err)
}
