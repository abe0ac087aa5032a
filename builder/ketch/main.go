// Command ketch builds, starts and examines images of the Ketch operating system.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ketch-os/ketch/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status := cli.Run(ctx, program(), os.Args[1:], cli.Standard())
	stop()
	os.Exit(status)
}
