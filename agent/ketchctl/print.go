package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/internal/cli"
)

// print returns what prints an answer, as JSON or for a person.
func print[T any](cmd *cobra.Command, asJSON bool, show func(io.Writer, *T) error) func(*T, error) error {
	return func(answer *T, err error) error {
		if err != nil {
			return err
		}
		if asJSON {
			return cli.JSON(cmd.OutOrStdout(), answer)
		}
		return show(cmd.OutOrStdout(), answer)
	}
}
