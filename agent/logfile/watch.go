package logfile

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// changes tells when a file was written to or truncated: inotify(7). The
// descriptor is non-blocking, so that Go's poller waits for it and Close ends
// the wait.
type changes struct {
	file *os.File
	stop func() bool
}

// watch begins to collect the changes of the file at path.
func watch(ctx context.Context, path string) (*changes, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	file := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY); err != nil {
		file.Close()
		return nil, os.NewSyscallError("inotify_add_watch "+path, err)
	}
	return &changes{file, context.AfterFunc(ctx, func() { file.Close() })}, nil
}

// next waits for a change since the last call. Several count as one.
func (c *changes) next() error {
	var events [4096]byte
	_, err := c.file.Read(events[:])
	return err
}

// Close ends the watch.
func (c *changes) Close() error {
	c.stop()
	return c.file.Close()
}
