package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStartsWithoutTraces: some packages do things as soon as a program that contains
// them starts. This one makes a directory in the user's cache.
func TestStartsWithoutTraces(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Fields(string(out)); len(all) < 100 {
		t.Fatalf("go list names %d packages", len(all))
	}
	if strings.Contains(string(out), "golang.org/x/tools/internal/modindex\n") {
		t.Error("ketch contains golang.org/x/tools/internal/modindex")
	}
}
