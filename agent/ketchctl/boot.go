package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
)

// boot shows the timeline of this boot or the one before.
func (c command) boot(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("boot", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	previous := flags.Bool("previous", false, "")
	if _, err := c.parse(flags, args, 0); err != nil {
		return c.misuse(err)
	}
	limited, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	timeline := c.thisBoot
	if *previous {
		timeline = c.previousBoot
	}
	draw := func(out io.Writer, boot *pid1.Boot) error {
		_, err := io.WriteString(out, chart{boot: boot, width: width(out), ascii: !utf8Locale(os.Getenv), virtual: virtual()}.String())
		return err
	}
	return print(c, *asJSON, draw)(timeline(limited))
}

func (c command) thisBoot(ctx context.Context) (*pid1.Boot, error) {
	s, err := c.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if s.System == nil {
		return nil, &node.Error{Message: "PID 1 does not answer", Hint: "its timeline is in /run/ketch/boot.json, too"}
	}
	return &s.System.Boot, nil
}

func (c command) previousBoot(ctx context.Context) (*pid1.Boot, error) {
	p, err := c.client.Previous(ctx)
	if err != nil {
		return nil, err
	}
	if p.Run == nil {
		return nil, &node.Error{Message: "the boot before this one left no timeline", Hint: "ketchctl status --previous tells what is known of it"}
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
