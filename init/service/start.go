package service

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
)

const (
	sigTerm = unix.SIGTERM
	sigKill = unix.SIGKILL
)

// start starts one process of the service in its control group, in a session of
// its own, with its output piped to the log.
func (u *unit) start() (child *reaper.Child, err error) {
	attr := &os.ProcAttr{
		Dir: "/",
		Env: append(Environment(), u.Env...),
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	var open files
	defer open.close()
	if u.groups != "" {
		err = u.enterGroup(attr, &open)
	}
	if err == nil && u.TTY != "" {
		err = u.onTerminal(attr, &open)
	} else if err == nil {
		err = u.piped(attr, &open)
	}
	if err != nil {
		return nil, err
	}
	return u.reaper.StartScored(u.OOMScore, u.Args[0], u.Args, attr)
}

// files are PID 1's copies of what a child inherits.
type files []*os.File

func (f *files) add(file *os.File) *os.File {
	*f = append(*f, file)
	return file
}

func (f *files) close() {
	for _, file := range *f {
		file.Close()
	}
}

// enterGroup makes the child begin in its control group: it cannot leave
// anything outside of it.
func (u *unit) enterGroup(attr *os.ProcAttr, open *files) error {
	group, err := cgroup.Make(u.groups, Groups+"/"+u.groupName())
	if err != nil {
		return err
	}
	u.group = group
	if err := u.limit(group); err != nil { // a kernel without a controller runs services, too
		u.warn("%s: %v", u.Name, err)
	}
	dir, err := group.Open()
	if err != nil {
		return fmt.Errorf("open control group: %w", err)
	}
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(open.add(dir).Fd())
	return nil
}

// groupName is the service's name, or another where its last process hangs in the
// kernel: a group that has been killed takes nobody in.
func (u *unit) groupName() string {
	if u.spoilt == 0 {
		return u.Name
	}
	return fmt.Sprintf("%s.%d", u.Name, u.spoilt+1)
}

// limit sets the limits of the group. A group is protected only as far as the one
// above it, so that gets the sum of what all services are to keep.
func (u *unit) limit(group cgroup.Group) error {
	var kept int64
	for _, other := range u.units {
		kept += other.Limits.MemoryMin
	}
	above := cgroup.Group(filepath.Dir(string(group)))
	return errors.Join(
		set(above, "memory.min", kept),
		set(group, "memory.min", u.Limits.MemoryMin),
		set(group, "memory.max", u.Limits.MemoryMax),
		set(group, "pids.max", u.Limits.PIDsMax))
}

// set sets a limit, if there is one.
func set(group cgroup.Group, file string, limit int64) error {
	if limit == 0 {
		return nil
	}
	return group.Set(file, strconv.FormatInt(limit, 10))
}

// onTerminal gives the child a terminal, which controls it.
func (u *unit) onTerminal(attr *os.ProcAttr, open *files) error {
	tty, err := os.OpenFile(u.TTY, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	open.add(tty)
	attr.Files = []*os.File{tty, tty, tty}
	attr.Sys.Setctty = true
	return nil
}

// piped copies the child's output to the log until everybody who inherited it
// has ended.
func (u *unit) piped(attr *os.ProcAttr, open *files) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	open.add(null)
	stdout, err := u.pipe(open, u.Console)
	if err != nil {
		return err
	}
	stderr := stdout
	if u.Console {
		if stderr, err = u.pipe(open, false); err != nil {
			return err
		}
	}
	attr.Files = []*os.File{null, stdout, stderr}
	return nil
}

func (u *unit) pipe(open *files, console bool) (write *os.File, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	crash.Go(u.m.Log, func() { u.copy(read, console) })
	return open.add(write), nil
}

// copy reads a pipe to its end, line by line.
func (u *unit) copy(read io.ReadCloser, console bool) {
	defer read.Close()
	var shown bucket
	lines := bufio.NewReaderSize(read, maxLine)
	for {
		line, _, err := lines.ReadLine() // a longer one comes in pieces
		if err != nil {
			return
		}
		u.log.WriteLine(line)
		if console {
			shown.take(func(left int) {
				if left > 0 {
					u.warn("%s: %d lines left out here; see %s", u.Name, left, u.log.Path)
				}
				u.m.Log.Line(kmsg.Notice, u.Name+": ", string(line))
			})
		}
	}
}
