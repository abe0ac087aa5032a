// Package cgroup makes, fills and kills control groups, version 2
// (Documentation/admin-guide/cgroup-v2.rst).
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Root is where the hierarchy is mounted.
const Root = "/sys/fs/cgroup"

// Group is the directory of a control group.
type Group string

// Make makes a group below root, and its parents, each of which hands all of its
// controllers down.
func Make(root, path string) (Group, error) {
	group := Group(root)
	for _, name := range strings.Split(path, "/") {
		if err := group.delegate(); err != nil {
			return "", err
		}
		group = Group(filepath.Join(string(group), name))
		if err := os.Mkdir(string(group), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make control group: %w", err)
		}
	}
	return group, nil
}

// delegate enables every controller of the group for its children.
func (g Group) delegate() error {
	controllers, err := os.ReadFile(g.file("cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read controllers: %w", err)
	}
	return g.Set("cgroup.subtree_control", enable(string(controllers)))
}

// enable turns "cpu io" into "+cpu +io".
func enable(controllers string) string {
	fields := strings.Fields(controllers)
	for i := range fields {
		fields[i] = "+" + fields[i]
	}
	return strings.Join(fields, " ")
}

// Set writes one of the group's interface files: "memory.min".
func (g Group) Set(file, value string) error {
	f, err := os.OpenFile(g.file(file), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("set %s of control group: %w", file, err)
	}
	return nil
}

// Add moves a process into the group; 0 is the calling one.
func (g Group) Add(pid int) error { return g.Set("cgroup.procs", strconv.Itoa(pid)) }

// Open opens the group for clone3(2)'s CLONE_INTO_CGROUP.
func (g Group) Open() (*os.File, error) {
	return os.OpenFile(string(g), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// Populated tells whether a process lives in the group or below it. A group
// that is gone is empty.
func (g Group) Populated() bool {
	events, err := os.ReadFile(g.file("cgroup.events"))
	return err == nil && bytes.Contains(events, []byte("populated 1"))
}

// Signal sends a signal to each process in the group and below it.
func (g Group) Signal(signal unix.Signal) {
	for _, pid := range g.PIDs() {
		if pid > 1 { // 0 stands for one of another PID namespace
			unix.Kill(pid, signal)
		}
	}
}

// Kill kills every process in the group and below it at once (Linux 5.14). The
// group is of no use afterwards, only to be removed: since 6.14, and in the stable
// series from 6.1.129 on, the kernel kills whatever CLONE_INTO_CGROUP puts into a
// group that has ever been killed.
func (g Group) Kill() error { return g.Set("cgroup.kill", "1") }

// Clear kills every process in the group and below it, and waits until none is
// left, but no longer than limit: a process that hangs in the kernel does not die.
// A group that is gone is clear.
func (g Group) Clear(limit time.Duration) error {
	if !g.Populated() {
		return nil
	}
	if err := g.Kill(); err != nil && g.Populated() {
		return err
	}
	for deadline := time.Now().Add(limit); g.Populated(); time.Sleep(clearPause) {
		if time.Now().After(deadline) {
			return fmt.Errorf("clear control group %s: processes %v hang in the kernel", g.Name(), g.PIDs())
		}
	}
	return nil
}

// clearPause is the pause between two looks at a group whose processes die.
const clearPause = 5 * time.Millisecond

// PIDs lists the processes in the group and below it.
func (g Group) PIDs() []int {
	var pids []int
	filepath.WalkDir(string(g), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() == "cgroup.procs" {
			text, _ := os.ReadFile(path)
			for field := range strings.FieldsSeq(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil {
					pids = append(pids, pid)
				}
			}
		}
		return nil
	})
	return pids
}

// Children returns the groups directly below.
func (g Group) Children() ([]Group, error) {
	entries, err := os.ReadDir(string(g))
	if err != nil {
		return nil, fmt.Errorf("list control groups: %w", err)
	}
	var children []Group
	for _, entry := range entries {
		if entry.IsDir() {
			children = append(children, Group(g.file(entry.Name())))
		}
	}
	return children, nil
}

// Name is the last component of the group's path.
func (g Group) Name() string { return filepath.Base(string(g)) }

func (g Group) file(name string) string { return filepath.Join(string(g), name) }
