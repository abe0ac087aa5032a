// Package testkit finds what tests need of their machine: the reference tools that
// our formats are held against, and what of the kernel they may use.
package testkit

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Tool returns the path of a reference tool. Where it is missing the test is
// skipped on a laptop and fails where CI=true: there scripts/setup must have
// installed it.
func Tool(t testing.TB, name string) string {
	t.Helper()
	// Debian keeps fsck and friends out of an ordinary user's PATH.
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: run scripts/setup", name)
	}
	t.Skipf("%s is not installed: run scripts/setup", name)
	return ""
}

// File tells that a test needs a file that a Debian package brings, by the same rule.
func File(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there: run scripts/setup", path)
	}
	t.Skipf("%s is not there: run scripts/setup", path)
}

// Cgroup2 is where cgroup2 is mounted on the machine of the test, which is skipped
// where it is not.
func Cgroup2(t testing.TB) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" { // device, target, type (fstab(5))
			return f[1]
		}
	}
	t.Skip("no cgroup2 is mounted here")
	return ""
}
