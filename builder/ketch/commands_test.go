package main

import (
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

// TestFlagEverywhere: flags that every command has, but for those that have a reason
// not to. A command that is new has them, or its reason stands here.
func TestFlagEverywhere(t *testing.T) {
	const reads = "it writes nothing of what it reads"
	const ours = "it reads what is ours"
	without := map[string]map[string]string{
		"max-size": {
			"ketch seal": reads, "ketch compose check": reads, "ketch layers build": ours, "ketch keys new": ours, "ketch keys auth": ours,
			"ketch help": ours, "ketch version": ours, "ketch completion": ours,
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
