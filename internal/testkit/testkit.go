// Package testkit finds what tests need of their machine: the reference tools that
// our formats are held against, root, control groups, namespaces.
//
// What is missing skips a test on a laptop and fails it where CI=true, by one rule:
// Need. So no test of a fresh machine is lost in silence, and `make test` lists
// those that a laptop has left out, each with its reason (package testkit/report).
package testkit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Need ends a test whose machine lacks something: err says why, nil that it is
// there. The test is skipped on a laptop and fails where CI=true: there
// scripts/setup has installed every tool, and tests run as root.
func Need(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case OnCI():
		t.Fatalf("needs %s: %v", what, err)
	default:
		t.Skipf("needs %s: %v", what, err)
	}
}

// OnCI tells whether a lack is a failure.
func OnCI() bool { return os.Getenv("CI") == "true" }

// Tool returns the path of a reference tool, which the test needs.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := Find(name)
	Need(t, name, err)
	return path
}

// Find returns the path of a tool.
func Find(name string) (string, error) {
	// Debian keeps fsck and friends out of an ordinary user's PATH.
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", errors.New("it is not installed: run scripts/setup")
}

// File tells that a test needs a file that a Debian package brings.
func File(t testing.TB, path string) {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil {
		err = errors.New("it is not there: run scripts/setup")
	}
	Need(t, path, err)
}

// Root tells that a test needs to be root, and for what.
func Root(t testing.TB, purpose string) {
	t.Helper()
	var err error
	if uid := os.Getuid(); uid != 0 {
		err = fmt.Errorf("this is user %d", uid)
	}
	Need(t, "root "+purpose, err)
}

// Cgroup makes a control group of version 2 for a test that needs one, and removes
// it at the test's end. The test must have ended what is in it.
func Cgroup(t testing.TB) (dir string) {
	t.Helper()
	hierarchy, err := cgroup2("/proc/self/mounts")
	if err == nil {
		dir, err = os.MkdirTemp(hierarchy, "ketch-test-")
	}
	Need(t, "a control group of version 2", err)
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
			t.Errorf("a control group is left: %v", err)
		}
	})
	return dir
}

// cgroup2 finds where the hierarchy of version 2 is mounted.
func cgroup2(table string) (string, error) {
	mounts, err := os.ReadFile(table)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" { // device, target, type (fstab(5))
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup2 is mounted here")
}

// Spent notes in a test's output how much processor time another process took for
// it: `make test` adds it up (package testkit/report).
func Spent(t testing.TB, who string, d time.Duration) {
	t.Helper()
	t.Logf("%s %s%.1f s", who, SpentWords, d.Seconds())
}

// SpentWords stand before the seconds in what Spent notes.
const SpentWords = "took processor time: "

// HangLimit is how long a test waits for what must come: more than any busy host
// needs. It only ends a test that hangs; it is no measure of anything.
const HangLimit = 4 * time.Minute

// Eventually waits until something holds, and fails the test if it never does.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(HangLimit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Receive waits for what a channel brings, and fails the test if nothing comes. From
// a closed channel it takes the zero value.
func Receive[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(HangLimit):
		t.Fatalf("never: %s", what)
	}
	return v
}

// Gzip compresses data (RFC 1952).
func Gzip(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		panic(err) // a buffer takes all
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
