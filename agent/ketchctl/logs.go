package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func (m machine) logsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logs [NAME]", Short: "Show what a workload or service has written",
		Args: cli.Between(0, 1, "at most one name"),
		Long: `
Without a NAME it tells which logs there are, and how large they are. Names are
those that ketchctl status lists. "kernel" is the kernel's log, PID 1's lines
included; a line of it has the level after the time. Logs are files, too:
/var/log/ketch/NAME.log; what is too old is a hole at their beginning. On a
terminal control characters are shown escaped; a pipe or a file gets every byte.

  ketchctl logs
  ketchctl logs -f web
  ketchctl logs --lines 20 kernel`,
	}
	follow := cmd.Flags().BoolP("follow", "f", false, "go on with what it writes from now on")
	lines := cmd.Flags().IntP("lines", "n", -1, "show only the last `N` lines")
	asJSON := cmd.Flags().Bool("json", false, "print the list of logs as JSON")
	cmd.Flags().Lookup("lines").DefValue = "0" // all: nothing to show in the help
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		switch {
		case len(names) == 1 && *asJSON:
			return cli.Usagef("a log is text: --json is for the list of logs")
		case len(names) == 1:
			return m.showLog(cmd, names[0], *lines, *follow)
		case *follow || *lines >= 0:
			return cli.Usagef("which one? ketchctl logs lists them")
		}
		limited, cancel := context.WithTimeout(cmd.Context(), statusLimit)
		defer cancel()
		return print(cmd, *asJSON, showLogs)(m.client.LogList(limited))
	}
	return cmd
}

// showLog prints a log. On a terminal its control characters are escaped, because
// what a container writes must not steer the terminal. Elsewhere it is printed as
// it is.
func (m machine) showLog(cmd *cobra.Command, name string, lines int, follow bool) error {
	out := cmd.OutOrStdout()
	if !cli.Terminal(out) {
		return m.client.Logs(cmd.Context(), out, name, lines, follow)
	}
	escaped := printable.NewWriter(out)
	return errors.Join(m.client.Logs(cmd.Context(), escaped, name, lines, follow), escaped.Flush())
}
