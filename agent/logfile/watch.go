package logfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// changes tells when a file was written to or truncated, or another took its
// name: inotify(7) on its directory. The descriptor is non-blocking, so that Go's
// poller waits for it and Close ends the wait.
type changes struct {
	file *os.File
	name string
	stop func() bool
}

// event is struct inotify_event; Length bytes of name follow, padded with NULs.
type event struct {
	Watch  int32  // 0
	Mask   uint32 // 4
	Cookie uint32 // 8
	Length uint32 // 12
}

const eventSize = 16

// watch begins to collect the changes of the file at path.
func watch(ctx context.Context, path string) (*changes, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	file := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		file.Close()
		return nil, os.NewSyscallError("inotify_add_watch "+filepath.Dir(path), err)
	}
	return &changes{file, filepath.Base(path), context.AfterFunc(ctx, func() { file.Close() })}, nil
}

// next waits for a change since the last call. Several count as one.
func (c *changes) next() error {
	var events [4096]byte
	for {
		n, err := c.file.Read(events[:])
		if err != nil || c.concerns(events[:n]) {
			return err
		}
	}
}

// concerns tells whether one of the events is of the file. Events that were lost
// may have been.
func (c *changes) concerns(data []byte) bool {
	for len(data) >= eventSize {
		var e event
		binary.Decode(data, binary.NativeEndian, &e)
		data = data[eventSize:]
		name := data[:min(int(e.Length), len(data))]
		data = data[len(name):]
		if e.Mask&unix.IN_Q_OVERFLOW != 0 || string(bytes.TrimRight(name, "\x00")) == c.name {
			return true
		}
	}
	return false
}

// Close ends the watch.
func (c *changes) Close() error {
	c.stop()
	return c.file.Close()
}
