// Ketchctl shows what a Ketch machine does. It asks ketchd, whose API package
// api/node describes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/layout"
)

const usage = `ketchctl shows what this machine does.

    ketchctl status              the machine, its services, workloads, network, images
    ketchctl status --previous   how the run before this one ended, with its last words
    ketchctl boot                how long each step of the boot took, as a chart
    ketchctl boot --previous     the same of the boot before this one
    ketchctl logs                which logs there are, and how large they are
    ketchctl logs NAME           what a workload or service has written
    ketchctl logs -f NAME        the same, and what it writes from now on
    ketchctl logs -n 20 NAME     only its last 20 lines
    ketchctl memory              where the machine's memory goes (for root)
    ketchctl version             the version of the OS

With --json, status, boot, memory and the list of logs are for programs.

Names are those that status lists. "kernel" is the kernel's log, PID 1's lines
included; a line of it has the level after the time. Logs are files, too:
/var/log/ketch/NAME.log, and .log.1 for what was written before.
Workloads are Compose files: /etc/ketch/compose/*.yaml
`

// statusLimit bounds the wait for a status.
const statusLimit = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if hint := hint(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

// usageError is a command line that is not understood.
type usageError struct{ error }

// hint is the cure for an error, where one is known.
func hint(err error) string {
	var refused *node.Error
	var misused usageError
	switch {
	case errors.As(err, &refused):
		return refused.Hint
	case errors.As(err, &misused):
		return "ketchctl --help shows what there is"
	}
	return ""
}

func run(ctx context.Context, args []string, out io.Writer) error {
	return command{node.NewClient(layout.KetchdSocket), layout.ImageInfo, out}.run(ctx, args)
}

// command is where a command line finds its machine.
type command struct {
	client *node.Client
	info   string // path of layout.ImageInfo
	out    io.Writer
}

func (c command) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError{errors.New("no command is given")}
	}
	switch name, rest := args[0], args[1:]; name {
	case "status":
		return c.status(ctx, rest)
	case "boot":
		return c.boot(ctx, rest)
	case "logs":
		return c.logs(ctx, rest)
	case "memory":
		return c.memory(rest)
	case "version":
		return c.version(rest)
	case "help", "--help", "-h":
		_, err := io.WriteString(c.out, usage)
		return err
	default:
		return usageError{fmt.Errorf("there is no command %q", name)}
	}
}

// parse reads flags, which may stand before and after the other arguments, and
// returns those; there may be at most that many.
func (c command) parse(flags *flag.FlagSet, args []string, most int) ([]string, error) {
	flags.SetOutput(io.Discard)
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			break
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
	if len(rest) > most {
		return nil, fmt.Errorf("%s: what is %q for?", flags.Name(), rest[most])
	}
	return rest, nil
}

// misuse tells a wish for help from a mistake.
func (c command) misuse(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(c.out, usage)
		return err
	}
	return usageError{err}
}

func (c command) status(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	previous := flags.Bool("previous", false, "")
	if _, err := c.parse(flags, args, 0); err != nil {
		return c.misuse(err)
	}
	limited, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	if *previous {
		return print(c, *asJSON, showPrevious)(c.client.Previous(limited))
	}
	return print(c, *asJSON, show)(c.client.Status(limited))
}

// print returns what prints an answer, as JSON or for a person.
func print[T any](c command, asJSON bool, show func(io.Writer, *T) error) func(*T, error) error {
	return func(answer *T, err error) error {
		if err != nil {
			return err
		}
		if !asJSON {
			return show(c.out, answer)
		}
		encoder := json.NewEncoder(c.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(answer)
	}
}

func (c command) logs(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	follow := flags.Bool("f", false, "")
	lines := flags.Int("n", -1, "")
	asJSON := flags.Bool("json", false, "")
	names, err := c.parse(flags, args, 1)
	switch {
	case err != nil:
		return c.misuse(err)
	case len(names) == 1 && *asJSON:
		return usageError{errors.New("logs: a log is text: --json is for the list of logs")}
	case len(names) == 1:
		return c.client.Logs(ctx, c.out, names[0], *lines, *follow)
	case *follow || *lines >= 0:
		return usageError{errors.New("logs: which one? ketchctl logs lists them")}
	}
	limited, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	return print(c, *asJSON, showLogs)(c.client.LogList(limited))
}

func (c command) version(args []string) error {
	if _, err := c.parse(flag.NewFlagSet("version", flag.ContinueOnError), args, 0); err != nil {
		return c.misuse(err)
	}
	text, err := os.ReadFile(c.info)
	if err != nil {
		return err
	}
	var info struct{ Name, Version string }
	if err := json.Unmarshal(text, &info); err != nil {
		return fmt.Errorf("decode %s: %w", c.info, err)
	}
	_, err = fmt.Fprintln(c.out, info.Version)
	return err
}
