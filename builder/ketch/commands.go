package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
)

// command is one sub-command of ketch.
type command struct {
	name  string
	args  string // "DEFINITION"
	short string // one line
	long  string // what a newcomer wants to know, with examples
	// setup declares the flags and returns what to do with the arguments left.
	setup func(*flag.FlagSet) func(context.Context, *env, []string) error
}

// env is what a command may touch besides its arguments.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// commands lists what ketch can do, in the order of a first day with it.
func commands() []command {
	return []command{
		buildCommand(), signCommand(), runCommand(), inspectCommand(), verifyCommand(),
		lsCommand(), catCommand(), extractCommand(),
		convertCommand(), checkCommand(), sealCommand(), flattenCommand(), whyCommand(), sbomCommand(), diffCommand(), keysCommand(), layersCommand(),
	}
}

// usageError is a command line that cannot be understood: exit status 2.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(command, format string, args ...any) error {
	return hint.Add(usageError{fmt.Errorf("ketch %s: %s", command, fmt.Sprintf(format, args...))}, "see: ketch %s --help", command)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	e := &env{stdin, stdout, stderr}
	if len(args) == 0 {
		overview(stderr)
		return exitStatus(2)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) > 1 {
			args = []string{args[1], "--help"}
			break
		}
		overview(stdout)
		return nil
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return hint.Add(usageError{fmt.Errorf("ketch: unknown command %q", args[0])}, "see: ketch help")
	}
	return all[i].run(ctx, e, args[1:])
}

func (c command) run(ctx context.Context, e *env, args []string) error {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	do := c.setup(flags)
	rest, err := parseInterspersed(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		c.help(e.stdout, flags)
		return nil
	}
	if err != nil {
		return usagef(c.name, "%v", err)
	}
	return do(ctx, e, rest)
}

// parseInterspersed allows flags behind arguments: ketch build x.yaml -o y.
// What follows "--" is taken as it is.
func parseInterspersed(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		left := flags.Args()
		consumed := len(args) - len(left)
		if len(left) == 0 || consumed > 0 && args[consumed-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

func overview(w io.Writer) {
	fmt.Fprint(w, "ketch builds, starts and examines images of the Ketch operating system.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  ketch %-9s %-22s %s\n", c.name, c.args, c.short)
	}
	fmt.Fprint(w, "\nketch COMMAND --help tells more. An image is a raw disk; a container image is\nregistry/name:tag, …@sha256:…, oci:DIR[:TAG] or archive:FILE.\n")
}

func (c command) help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "usage: ketch %s %s\n\n%s.\n", c.name, c.args, c.short)
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.long))
	}
	any := false
	flags.VisitAll(func(*flag.Flag) { any = true })
	if any {
		fmt.Fprint(w, "\nFlags:\n")
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
}

// oneArgument is the only argument of a command, or an error that says what is wanted.
func oneArgument(name, what string, args []string) (string, error) {
	if len(args) != 1 {
		return "", usagef(name, "want one argument, %s; got %d", what, len(args))
	}
	return args[0], nil
}
