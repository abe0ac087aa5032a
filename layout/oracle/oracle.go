// Package oracle finds the reference tools that tests hold our formats against.
package oracle

import (
	"os"
	"os/exec"
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
