package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/internal/cli"
)

func (m machine) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of the OS",
		Args: cli.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(m.info)
			if err != nil {
				return err
			}
			var info struct{ Name, Version string }
			if err := json.Unmarshal(text, &info); err != nil {
				return fmt.Errorf("decode %s: %w", m.info, err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), info.Version)
			return err
		},
	}
}
