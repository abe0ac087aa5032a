package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/config/userdata"
	"github.com/ketch-os/ketch/internal/printable"
)

func configCommand() *cobra.Command {
	return cli.Parent(&cobra.Command{Use: "config", Short: "Check the configuration of a machine"}, configCheckCommand(), configSchemaCommand())
}

func configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE…", Short: "Check configurations against what the machine supports",
		Args: cli.AtLeast(1, "a configuration"),
		Long: `
Reads each file as ketchd on the machine does: Ketch's own YAML, Ignition 3, or
#cloud-config, gzipped or not. Each fault has its line and column. Nothing is
fetched: what a configuration names by a URL is listed, not looked at. A FILE of
- is the standard input.

The exit status is 1 when something is wrong, and when a file cannot be read or is
empty; the others are checked all the same.

  ketch config check web.yaml`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print what was found as JSON")
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		var all []checkedConfig
		for _, name := range args {
			checked, err := checkConfig(ctx, e.stdin, name)
			if err != nil { // the others are checked all the same
				checked = checkedConfig{Path: name, Kind: userdata.Unknown, Problems: []config.Problem{{Text: cause(err)}}}
			}
			all = append(all, checked)
		}
		if *asJSON {
			if err := cli.JSON(e.stdout, all); err != nil {
				return err
			}
		}
		wrong := false
		for _, c := range all {
			wrong = wrong || len(c.Problems) > 0
			if !*asJSON {
				c.show(e)
			}
		}
		if wrong {
			return cli.Status(1)
		}
		return nil
	})
	return cmd
}

// checkedConfig is what was found of a configuration.
type checkedConfig struct {
	Path      string           `json:"path"`
	Kind      string           `json:"kind"`
	Passed    bool             `json:"passed"`
	Problems  []config.Problem `json:"problems"`
	NotLooked []string         `json:"notLookedAt,omitempty"` // URLs
}

func checkConfig(ctx context.Context, stdin io.Reader, name string) (checkedConfig, error) {
	text, err := readConfig(stdin, name)
	if err != nil {
		return checkedConfig{}, err
	}
	result := userdata.Parse(ctx, text, nil)
	if result.Kind == userdata.None && len(result.Problems) == 0 {
		result.Problems = []config.Problem{{Text: "empty: no configuration in it"}}
	}
	c := checkedConfig{Path: name, Kind: result.Kind, Passed: len(result.Problems) == 0, Problems: result.Problems, NotLooked: result.LeftOut}
	if c.Problems == nil {
		c.Problems = []config.Problem{}
	}
	for _, content := range result.Config.Remote() {
		c.NotLooked = append(c.NotLooked, content.Source)
	}
	return c, nil
}

// readConfig reads a file, or the standard input for -, up to what is too much.
func readConfig(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" || stdin == nil {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, userdata.MaxSize+1))
}

// cause leaves out the path, which stands before the problem.
func cause(err error) string {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Op + ": " + at.Err.Error()
	}
	return err.Error()
}

// show prints what was found for a person: problems go where errors do.
func (c checkedConfig) show(e *env) {
	for _, p := range c.Problems {
		printable.Fprintln(e.stderr, p.In(c.Path))
	}
	for _, url := range c.NotLooked {
		printable.Fprintf(e.stdout, "%s: not looked at: %s\n", c.Path, url)
	}
	if len(c.Problems) == 0 {
		printable.Fprintf(e.stdout, "%s: %s, accepted\n", c.Path, c.Kind)
	}
}

func configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of Ketch's own YAML, for editors",
		Args: cli.None,
		Long: `
Editors with YAML support complete and check a configuration with it. For those
that use yaml-language-server, the first line of the configuration names it:

  ketch config schema > ketch.schema.json
  # yaml-language-server: $schema=ketch.schema.json`,
		RunE: do(func(_ context.Context, e *env, _ []string) error {
			text, err := config.Schema()
			if err == nil {
				_, err = e.stdout.Write(text)
			}
			return err
		}),
	}
}
