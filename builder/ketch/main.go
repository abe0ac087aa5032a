// Command ketch builds, starts and examines images of the Ketch operating system.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/ketch-os/ketch/builder/hint"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(report(err, os.Stderr))
}

// exitStatus is an error that only carries a status: everything has been said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// report prints err for a person and returns the exit status.
func report(err error, stderr io.Writer) int {
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "error: interrupted")
		return 130
	}
	fmt.Fprintf(stderr, "error: %v\n", err)
	if cure := hint.Of(err); cure != "" {
		fmt.Fprintf(stderr, "hint: %s\n", cure)
	}
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}
