package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/agent/memory"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

// memoryCommand asks the kernel, and where that does not tell, ketchd, which it does:
// who is signed in by SSH has not all the powers of root.
func (m machine) memoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "memory", Short: "Show where the machine's memory goes",
		Args: cli.None,
	}
	asJSON := cmd.Flags().Bool("json", false, "print the table as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		table, err := memory.Read(os.DirFS("/proc"))
		if errors.Is(err, fs.ErrPermission) {
			limited, cancel := context.WithTimeout(cmd.Context(), statusLimit)
			defer cancel()
			table, err = m.client.Memory(limited)
		}
		return print(cmd, *asJSON, showMemory)(table, err)
	}
	return cmd
}

func showMemory(out io.Writer, t *memory.Table) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%8s  %s\n", "MiB", "WHERE")
	for _, row := range t.Rows {
		fmt.Fprintf(&text, "%8s  %s\n", mib(row.KiB), printable.Text(row.Name))
	}
	fmt.Fprintf(&text, "%8s  in use, of %s\n", mib(t.UsedKiB), mib(t.GivenKiB))
	fmt.Fprintf(&text, "\n%8s  %8s  %7s  %s\n", "OWN MiB", "OF FILES", "PID", "PROCESS")
	for _, p := range t.Processes {
		fmt.Fprintf(&text, "%8s  %8s  %7d  %s\n", mib(p.AnonKiB), mib(p.FileKiB), p.PID, printable.Text(p.Name)) // a program names itself
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func mib(kib int64) string { return fmt.Sprintf("%.1f", float64(kib)/1024) }
