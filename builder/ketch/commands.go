package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/internal/cli"
)

// env is what a command may touch besides its arguments.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// do makes cobra's function of a command's.
func do(command func(ctx context.Context, e *env, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		e := &env{cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()}
		return command(cmd.Context(), e, args)
	}
}

// program is all that ketch can do.
func program() *cobra.Command {
	return cli.Program(&cobra.Command{
		Use:  "ketch",
		Long: "ketch builds, starts and examines images of the Ketch operating system.",
		Example: `
ketch COMMAND --help tells more. An image is a disk, raw or in any format that
ketch convert writes; a container image is registry/name:tag, …@sha256:…,
oci:DIR[:TAG] or archive:FILE.`,
	},
		func() (cli.Version, error) { return cli.Built(), nil },
		cli.Group{Title: "Build", Commands: []*cobra.Command{
			buildCommand(), signCommand(), convertCommand(), sealCommand(), layersCommand(), keysCommand(), flattenCommand(),
		}},
		cli.Group{Title: "Run", Commands: []*cobra.Command{runCommand()}},
		cli.Group{Title: "Check", Commands: []*cobra.Command{verifyCommand(), checkCommand(), composeCommand(), configCommand()}},
		cli.Group{Title: "Look inside", Commands: []*cobra.Command{
			inspectCommand(), lsCommand(), catCommand(), extractCommand(), sbomCommand(), diffCommand(), whyCommand(),
		}},
	)
}
