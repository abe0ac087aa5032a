package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/cli"
)

func (m machine) bootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "boot", Short: "Show how long each step of the boot took, as a chart",
		Args: cli.None,
		Long: `
  ketchctl boot
  ketchctl boot --previous     the same of the boot before this one`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print the timeline as JSON; its times are microseconds")
	previous := cmd.Flags().Bool("previous", false, "show the boot before this one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		limited, cancel := context.WithTimeout(cmd.Context(), statusLimit)
		defer cancel()
		timeline := m.thisBoot
		if *previous {
			timeline = m.previousBoot
		}
		return print(cmd, *asJSON, draw)(timeline(limited))
	}
	return cmd
}

// draw prints a timeline for a person.
func draw(out io.Writer, boot *pid1.Boot) error {
	_, err := io.WriteString(out, chart{boot: boot, width: width(out), ascii: !utf8Locale(os.Getenv), virtual: virtual()}.String())
	return err
}

func (m machine) thisBoot(ctx context.Context) (*pid1.Boot, error) {
	s, err := m.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if s.System == nil {
		return nil, &node.Error{Message: "PID 1 does not answer", Advice: "its timeline is in /run/ketch/boot.json, too"}
	}
	return &s.System.Boot, nil
}

func (m machine) previousBoot(ctx context.Context) (*pid1.Boot, error) {
	p, err := m.client.Previous(ctx)
	if err != nil {
		return nil, err
	}
	if p.Run == nil {
		return nil, &node.Error{Message: "the boot before this one left no timeline", Advice: "ketchctl status --previous tells what is known of it"}
	}
	return &p.Run.Boot, nil
}

// width is how many columns a terminal has; 80 for what is none.
func width(out io.Writer) int {
	if file, ok := out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return 80
}

// utf8Locale tells whether the terminal takes UTF-8: the first of these variables
// that is set says so (locale(7)).
func utf8Locale(environ func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := environ(name); value != "" {
			value = strings.ToLower(value)
			return strings.HasSuffix(value, "utf-8") || strings.HasSuffix(value, "utf8")
		}
	}
	return false
}

// virtual tells whether this is a virtual machine: the processor says so.
func virtual() bool {
	text, err := os.ReadFile("/proc/cpuinfo")
	return !errors.Is(err, os.ErrNotExist) && strings.Contains(string(text), " hypervisor")
}
