// Ketchctl shows what a Ketch machine does, and ends its run. It asks ketchd, whose
// API package api/node describes, and PID 1 (package api/pid1).
package main

import (
	"context"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/api/node/client"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/layout"
)

// statusLimit bounds the wait for a status.
const statusLimit = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	here := machine{client.New(layout.KetchdSocket), layout.InitSocket, os.DirFS("/usr")}
	status := cli.Run(ctx, program(here), os.Args[1:], cli.Standard())
	stop()
	os.Exit(status)
}

// machine is where a command line finds its machine.
type machine struct {
	client *client.Client
	init   string // path of layout.InitSocket
	usr    fs.FS  // of the running system
}

// program is all that ketchctl can do on a machine.
func program(m machine) *cobra.Command {
	return cli.Program(&cobra.Command{
		Use:  "ketchctl",
		Long: "ketchctl shows what this machine does, and turns it off.",
		Example: `
ketchctl COMMAND --help tells more. Workloads are Compose files:
/etc/ketch/compose/*.yaml`,
	},
		m.version,
		cli.Group{Title: "The machine", Commands: []*cobra.Command{
			m.statusCommand(), m.bootCommand(), m.logsCommand(), m.memoryCommand(), m.platformCommand(), m.configCommand(),
			m.rebootCommand(), m.poweroffCommand(), m.promptCommand(),
		}},
	)
}

func (m machine) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show the machine, its services, workloads, network and images",
		Args: cli.None,
		Long: `
What is wrong is listed first. With --previous it tells how the run before this
one ended, with its last words.

  ketchctl status
  ketchctl status --previous
  ketchctl status --json`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print all of it as JSON")
	previous := cmd.Flags().Bool("previous", false, "show how the run before this one ended")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		limited, cancel := context.WithTimeout(cmd.Context(), statusLimit)
		defer cancel()
		if *previous {
			return print(cmd, *asJSON, showPrevious)(m.client.Previous(limited))
		}
		return print(cmd, *asJSON, show)(m.client.Status(limited))
	}
	return cmd
}
