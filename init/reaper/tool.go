package reaper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/linux/cgroup"
	"github.com/ketch-os/ketch/linux/kmsg"
)

const (
	// toolOutput is how many bytes of a tool's output Run keeps: the last ones.
	toolOutput = 64 << 10
	// drain is how long a tool's output is still read after its end: another
	// process may hold the pipe open for ever.
	drain = 100 * time.Millisecond
	// killLimit is how long a process may take to die of SIGKILL.
	killLimit = 5 * time.Second
)

// Confine lets tools run in control groups of their own below dir from now on: they
// leave nothing behind.
func (r *Reaper) Confine(dir cgroup.Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tools = dir
}

// Run runs a tool to its end and returns its output, standard output and error
// together. A tool that takes longer than limit is killed, and one that does not
// even die of that is left behind.
func (r *Reaper) Run(limit time.Duration, argv ...string) (string, error) {
	out, err := r.run(limit, argv)
	if err != nil {
		return out, fmt.Errorf("run %s: %w%s", filepath.Base(argv[0]), err, lastLine(out))
	}
	return out, nil
}

func (r *Reaper) run(limit time.Duration, argv []string) (string, error) {
	group, err := r.group()
	if err != nil {
		return "", err
	}
	defer r.leave(group)
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer read.Close()
	child, err := r.startTool(argv, group, write)
	write.Close()
	if err != nil {
		return "", err
	}
	return r.await(child, read, limit)
}

// group makes the control group of the next tool, if there are any.
func (r *Reaper) group() (cgroup.Group, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tools == "" {
		return "", nil
	}
	r.runs++
	return cgroup.Make(string(r.tools), strconv.Itoa(r.runs))
}

// leave ends what a tool has left in its group, and removes the group.
func (r *Reaper) leave(group cgroup.Group) {
	if group == "" {
		return
	}
	err := group.Clear(killLimit)
	if err == nil {
		err = os.Remove(string(group))
	}
	if err != nil {
		r.log.Printf(kmsg.Warning, "%v", err)
	}
}

func (r *Reaper) startTool(argv []string, group cgroup.Group, output *os.File) (*Child, error) {
	null, err := os.Open(os.DevNull) // a closed standard input would become the next file that is opened
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C"},
		Files: []*os.File{null, output, output},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if group != "" {
		dir, err := group.Open()
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(dir.Fd())
	}
	return r.Start(argv[0], argv, attr)
}

// await reads a tool's output and waits for its end, but not for ever.
func (r *Reaper) await(child *Child, output *os.File, limit time.Duration) (string, error) {
	over := time.AfterFunc(limit, func() { child.Signal(unix.SIGKILL) })
	last := time.After(limit + killLimit)
	output.SetReadDeadline(time.Now().Add(limit + killLimit))
	crash.Go(r.log, func() {
		<-child.Done()
		output.SetReadDeadline(time.Now().Add(drain))
	})
	out := readAll(output)
	select {
	case <-child.Done():
	case <-last:
		return out, fmt.Errorf("process %d does not die: it hangs in the kernel", child.PID)
	}
	err := child.Err()
	if !over.Stop() && err != nil {
		err = fmt.Errorf("not done within %v: %w", limit, err)
	}
	return out, err
}

// readAll reads to the end, or to the deadline, and keeps the tail.
func readAll(r *os.File) string {
	var kept []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		kept = append(kept, buf[:n]...)
		kept = kept[max(0, len(kept)-toolOutput):]
		if err != nil {
			return string(bytes.TrimSpace(kept))
		}
	}
}

// lastLine makes a tool's last line the end of an error.
func lastLine(out string) string {
	if out == "" {
		return ""
	}
	return ": " + out[strings.LastIndexByte(out, '\n')+1:]
}
