package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// each calls do for every command that does something, by its path.
func each(cmd *cobra.Command, do func(path string, cmd *cobra.Command)) {
	if !cmd.HasSubCommands() {
		do(cmd.CommandPath(), cmd)
	}
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			each(c, do)
		}
	}
}

// TestFlagEverywhere: --json and --max-size are flags that every command has, but for
// those that have a reason not to. Of a new command, too, the reason stands here.
func TestFlagEverywhere(t *testing.T) {
	const reads = "it writes nothing of what it reads"
	const ours = "it reads what is ours"
	without := map[string]map[string]string{
		"max-size": {
			"ketch seal": reads, "ketch compose check": reads, "ketch config check": reads, "ketch config schema": ours, "ketch layers build": ours, "ketch keys new": ours, "ketch keys auth": ours,
			"ketch help": ours, "ketch version": ours, "ketch completion": ours,
		},
		"json": {
			"ketch cat": "what it prints is the file", "ketch config schema": "what it prints is JSON",
			"ketch completion": "what it prints is a shell's", "ketch help": "it is for people",
		},
	}
	for flag, reasons := range without {
		each(program(), func(path string, cmd *cobra.Command) {
			_, excused := reasons[path]
			switch has := cmd.Flags().Lookup(flag) != nil; {
			case has && excused:
				t.Errorf("%s has --%s: %q is no reason any more", path, flag, reasons[path])
			case !has && !excused:
				t.Errorf("%s has no --%s, and no reason stands here", path, flag)
			}
			delete(reasons, path)
		})
		for path := range reasons {
			t.Errorf("%s is no command", path)
		}
	}
}

// TestPrintsThroughPrintable: what commands say goes through package printable, so
// that nobody has to remember which words come from outside.
func TestPrintsThroughPrintable(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	direct := regexp.MustCompile(`\bfmt\.(Fp|P)rint`)
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") && direct.Match(text) {
			t.Errorf("%s: %s… prints what it is given; want printable.%s…", name, direct.Find(text), direct.Find(text)[len("fmt."):])
		}
	}
}
