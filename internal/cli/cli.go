// Package cli is what Ketch's command lines have in common. Commands are
// cobra's; this package gives them one voice: an overview in groups, help, error
// and hint lines, exit statuses, sizes, JSON and colour.
//
// Exit status 0 is success, 1 a failure, 2 a command line that cannot be
// understood, 130 an interruption; a command may have others (see Status).
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/internal/printable"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Standard returns the streams of this process.
func Standard() Streams { return Streams{os.Stdin, os.Stdout, os.Stderr} }

// Status is an error that only carries an exit status: everything has been said.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Hinter is an error that knows its cure.
type Hinter interface {
	error
	Hint() string
}

// Run executes a command line, tells a person what went wrong, and returns the
// exit status.
func Run(ctx context.Context, root *cobra.Command, args []string, s Streams) int {
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		plainUsages(root)
	}
	root.SetArgs(append([]string{}, args...)) // nil would stand for this process's own
	cmd, err := root.ExecuteContextC(ctx)
	return report(cmd, err, s.Err)
}

// report prints the error of a command for a person and returns the exit status.
// What errors and hints quote may come from anywhere.
func report(cmd *cobra.Command, err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[Status](err); ok {
		return int(status)
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, Paint(stderr, Red, "error:"), "interrupted")
		return 130
	}
	text, cure, status := err.Error(), "", 1
	if path := subcommand(cmd); path != "" {
		text = path + ": " + text
	}
	if misuse, ok := errors.AsType[*usageError](err); ok {
		cure, status = misuse.cure(cmd), 2
	}
	if h, ok := errors.AsType[Hinter](err); ok {
		cure = h.Hint()
	}
	cure = cmp.Or(exhausted(err), cure)
	fmt.Fprintln(stderr, Paint(stderr, Red, "error:"), printable.Lines(text))
	if cure != "" {
		fmt.Fprintln(stderr, Paint(stderr, Bold, "hint:"), printable.Lines(cure))
	}
	return status
}

// exhausted is the cure of an error that is about what the host has too little of,
// whatever the command was about.
func exhausted(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "no room is left there: df -h tells of bytes, df -i of inodes; TMPDIR and XDG_CACHE_HOME lead elsewhere"
	case errors.Is(err, syscall.EDQUOT):
		return "a quota is used up: quota -s tells of what"
	case errors.Is(err, syscall.EMFILE):
		return "too many files are open in this program: ulimit -n 1024 allows for more"
	case errors.Is(err, syscall.ENFILE):
		return "too many files are open on this host: end what has opened them, or raise the sysctl fs.file-max"
	}
	return ""
}

// subcommand is the path of a command without the program: "keys new".
func subcommand(cmd *cobra.Command) string {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	return path
}
