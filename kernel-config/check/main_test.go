package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The command as scripts/kernel calls it, on files.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{
		"-config", write("config", "CONFIG_A=y\n"),
		"-hardening", write("list", "CONFIG_A=y\nCONFIG_B=y\n"),
		"-exceptions", write("exceptions", "CONFIG_B: slow\n"),
		"-symbols", write("symbols", "A\nB\n"),
		write("a.config", "CONFIG_A=y\n"),
	}
	var stdout, stderr bytes.Buffer
	if err := run(args, &stdout, &stderr); err != nil {
		t.Fatalf("run: %v\n%s", err, &stderr)
	}
	if got, want := stdout.String(), "1 symbols in effect; 1 of 2 hardening items met, 1 excepted\n"; got != want {
		t.Errorf("run prints %q; want %q", got, want)
	}

	fragment := write("b.config", "CONFIG_B=y\n")
	err := run(append(args, fragment), &stdout, &stderr)
	if err == nil || !strings.HasSuffix(err.Error(), ": 1 problems") {
		t.Errorf("run = %v; want 1 problems", err)
	}
	if want := fragment + ":1: CONFIG_B: want y, got n\n"; stderr.String() != want {
		t.Errorf("run reports %q; want %q", &stderr, want)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"-config", "/nonexistent", "/nonexistent"},
		{"-nonsense"},
	} {
		if err := run(args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("run(%q) = nil; want an error", args)
		}
	}
}

// The fragments and lists of this repository read without error, and agree
// with themselves, with no kernel at hand.
func TestRepository(t *testing.T) {
	paths, err := filepath.Glob("../*.config")
	if err != nil || len(paths) == 0 {
		t.Fatalf("Glob = %v, %v; want fragments", paths, err)
	}
	fragments, err := readSettings(paths...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := readSettings("../hardening.list")
	if err != nil {
		t.Fatal(err)
	}
	exceptions, err := readExceptions("../hardening.exceptions")
	if err != nil {
		t.Fatal(err)
	}
	problems := append(checkTwice(fragments), checkTwice(list)...)
	for _, problem := range append(problems, checkExceptions(exceptions, list, excepted(exceptions))...) {
		t.Error(problem)
	}
}

// excepted takes every exception at its word: its item is not met.
func excepted(exceptions []Exception) map[string]bool {
	unmet := make(map[string]bool)
	for _, exception := range exceptions {
		unmet[exception.Symbol] = true
	}
	return unmet
}
