package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func (m machine) platformCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "platform", Short: "Show where the machine runs, and what it is told there",
		Args: cli.None,
		Long: `
The platform, how it was found, and what it says: the machine's name, SSH keys,
how much user data. ketchctl config show tells what that came to.

  ketchctl platform`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print it as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		limited, cancel := context.WithTimeout(cmd.Context(), statusLimit)
		defer cancel()
		return print(cmd, *asJSON, showPlatform)(m.client.Platform(limited))
	}
	return cmd
}

func (m machine) configCommand() *cobra.Command {
	return cli.Parent(&cobra.Command{Use: "config", Short: "Show what the machine was told to be"}, m.configShowCommand())
}

func (m machine) configShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show", Short: "Show the configuration that counts, and what is wrong with it",
		Args: cli.None,
		Long: `
Each value and where it comes from, what is wrong with the sources, with line and
column, and what could not be applied. What is in files is not shown.

  ketchctl config show`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print it as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		limited, cancel := context.WithTimeout(cmd.Context(), statusLimit)
		defer cancel()
		return print(cmd, *asJSON, showConfig)(m.client.Config(limited))
	}
	return cmd
}

func showPlatform(out io.Writer, p *node.Platform) error {
	w := printable.NewTable(out)
	w.Row("platform", dash(p.Name))
	for _, row := range [][2]string{
		{"found by", p.Why}, {"asked", p.Source}, {"instance", p.Instance}, {"host name", p.Hostname},
		{"SSH keys", strings.Join(p.Keys, "; ")}, {"error", p.Error},
	} {
		if row[1] != "" {
			w.Row(row[0], row[1])
		}
	}
	if p.Name != "" {
		w.Row("user data", fmt.Sprintf("%d bytes", p.UserData))
	}
	if p.Kept {
		w.Row("note", "it does not answer: this is what it said last")
	}
	for _, problem := range p.Problems {
		w.Row("problem", problem)
	}
	return w.Flush()
}

func showConfig(out io.Writer, c *node.Config) error {
	w := printable.NewTable(out)
	for _, s := range c.Sources {
		w.Row("source", s.Name+", "+s.Kind)
		for _, p := range s.Problems {
			w.Row("problem", configProblem(p, s.Name))
		}
	}
	for _, err := range c.Errors {
		w.Row("not applied", err)
	}
	if len(c.Values) == 0 {
		w.Row("values", "none")
	} else {
		w.Row()
		w.Row("VALUE", "ORIGIN", "IS")
	}
	for _, v := range c.Values {
		w.Row(v.Path, v.Origin, v.Value)
	}
	return w.Flush()
}

// configProblem is "SOURCE, line L, column C: PATH: TEXT", as far as it is known.
func configProblem(p node.ConfigProblem, source string) string {
	place := source
	if p.Source != "" {
		place = p.Source
	}
	if p.Line > 0 {
		place = fmt.Sprintf("%s, line %d, column %d", place, p.Line, p.Column)
	}
	if p.Path != "" {
		place += ": " + p.Path
	}
	return place + ": " + p.Text
}
