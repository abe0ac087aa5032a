// Command ketch builds, starts and examines images of the Ketch operating system.
package main

import (
	"context"
	"os"

	"github.com/ketch-os/ketch/internal/cli"
)

func main() {
	ctx, stop := cli.Interruptible(context.Background())
	status := cli.Run(ctx, program(), os.Args[1:], cli.Standard())
	stop()
	os.Exit(status)
}
