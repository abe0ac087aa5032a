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

	"ketch/init/crash"
	"ketch/init/reaper"
	"ketch/linux/cgroup"
	"ketch/linux/kmsg"
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
	if err == nil {
		child, err = u.reaper.Start(u.Args[0], u.Args, attr)
	}
	if err != nil {
		return nil, err
	}
	// Before the process can have started one that would inherit another value.
	score := []byte(strconv.Itoa(u.OOMScore))
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", child.PID), score, 0); err != nil && !gone(err) {
		u.warn("%s: %v", u.Name, err)
	}
	return child, nil
}

// gone tells the errors of a process that has ended already.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) }

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
	group, err := cgroup.Make(u.groups, Groups+"/"+u.Name)
	if err != nil {
		return err
	}
	u.protect(group)
	dir, err := group.Open()
	if err != nil {
		return fmt.Errorf("open control group: %w", err)
	}
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(open.add(dir).Fd())
	return nil
}

// protect keeps reclaim away from the group, and, because a group is protected only
// as far as the one above it, gives that the sum of all services' needs.
func (u *unit) protect(group cgroup.Group) {
	if u.MemoryMin == 0 {
		return
	}
	var sum int64
	for _, other := range u.units {
		sum += other.MemoryMin
	}
	above := cgroup.Group(filepath.Dir(string(group)))
	err := errors.Join(
		above.Set("memory.min", strconv.FormatInt(sum, 10)),
		group.Set("memory.min", strconv.FormatInt(u.MemoryMin, 10)))
	if err != nil {
		u.warn("%s: %v", u.Name, err)
	}
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

// copy is the life of a pipe's reader.
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
