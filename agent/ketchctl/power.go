package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/cli"
)

// maxReason bounds a reason in bytes: it is a line of the console.
const maxReason = 200

func (m machine) rebootCommand() *cobra.Command {
	return m.powerCommand(pid1.PowerReboot, &cobra.Command{
		Use: "reboot", Short: "Start the machine anew, in order",
		Long: `
Workloads are stopped first, then the services; file systems are left clean. The
next boot tells by whom and why it was asked: ketchctl status --previous

  ketchctl reboot
  ketchctl reboot --reason 'new kernel'`,
	})
}

func (m machine) poweroffCommand() *cobra.Command {
	return m.powerCommand(pid1.PowerOff, &cobra.Command{
		Use: "poweroff", Short: "Turn the machine off, in order",
		Long: `
Workloads are stopped first, then the services; file systems are left clean. The
next boot tells by whom and why it was asked: ketchctl status --previous

  ketchctl poweroff
  ketchctl poweroff --reason 'moving to another rack'`,
	})
}

// powerCommand makes a command of a way down.
func (m machine) powerCommand(way string, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cli.None
	reason := cmd.Flags().StringP("reason", "m", "", "keep `TEXT` as the reason")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(*reason) > maxReason {
			return cli.Usagef("the reason has %d bytes; at most %d are kept", len(*reason), maxReason)
		}
		limited, cancel := context.WithTimeout(cmd.Context(), statusLimit)
		defer cancel()
		if err := m.goDown(limited, pid1.Request{Do: pid1.DoPower, Power: way, By: by(cmd.Name(), *reason, os.Getenv)}); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "the machine goes down")
		return nil
	}
	return cmd
}

// by is who asks, and why: by SSH the server tells, in the environment.
func by(command, reason string, environ func(string) string) string {
	who := "ketchctl " + command
	if from, _, _ := strings.Cut(environ("SSH_CONNECTION"), " "); from != "" {
		who += fmt.Sprintf(" by %s from %s", environ("USER"), from)
	}
	if reason != "" {
		who += ": " + reason
	}
	return who
}

// goDown asks PID 1.
func (m machine) goDown(ctx context.Context, request pid1.Request) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", m.init)
	if err != nil {
		failed := &node.Error{Message: fmt.Sprintf("ask PID 1: %v", err)}
		switch {
		case errors.Is(err, fs.ErrPermission):
			failed.Advice = "only root may"
		case errors.Is(err, fs.ErrNotExist):
			failed.Advice = "PID 1 listens on Ketch machines only"
		}
		return failed
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // long ago
	defer stop()
	_, err = pid1.Exchange(conn, request)
	return err
}
