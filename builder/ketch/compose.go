package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func composeCommand() *cobra.Command {
	return cli.Parent(&cobra.Command{Use: "compose", Short: "Check the Compose files of workloads"}, composeCheckCommand())
}

func composeCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Check a Compose file against what the machine supports",
		Args: cli.One("a Compose file"),
		Long: `
Reads the file as ketchd on the machine does. Each fault has its line. The images
are not looked at: ketch build does that.

  ketch compose check compose.yaml`,
		RunE: do(func(_ context.Context, e *env, args []string) error {
			w, err := image.CheckCompose(args[0])
			if err != nil {
				return err
			}
			for _, s := range w.Services {
				printable.Fprintf(e.stdout, "%s: runs %s\n", s.Name, s.Image)
			}
			return nil
		}),
	}
}
