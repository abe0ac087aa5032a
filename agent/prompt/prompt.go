// Package prompt is a command line to type on, for machines without a shell: a line
// is words (package words), and each runs one command of a program.
//
// On a terminal lines are edited as in a shell: arrows, Home and End, Ctrl-A, E, U, K
// and W; Tab completes, the arrows up and down lead through what was typed before,
// Ctrl-C drops a line or ends a command, Ctrl-D leaves. Elsewhere lines are read as
// they come, and what they do is all that is printed.
package prompt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/internal/words"
)

// Prompt is what to type on, and for what. All fields are needed.
type Prompt struct {
	Name string // of the program, which a line may begin with
	Text string // what a line begins with on a terminal: "machine> "
	// Greeting is shown on a terminal before the first line.
	Greeting string
	// Run runs a command, and returns its exit status.
	Run func(ctx context.Context, args []string) int
	// Complete returns what the last of some words may become.
	Complete func(args []string) []string
	Streams  cli.Streams
}

// Serve runs lines until there are no more, and returns the status of the last command.
func (p *Prompt) Serve(ctx context.Context) (int, error) {
	if file, ok := p.Streams.In.(*os.File); ok && term.IsTerminal(int(file.Fd())) && cli.Terminal(p.Streams.Out) {
		return p.onTerminal(ctx, file)
	}
	status := 0
	lines := bufio.NewScanner(p.Streams.In)
	for lines.Scan() {
		leave := false
		if status, leave = p.line(ctx, lines.Text(), status); leave {
			return status, nil
		}
	}
	return status, lines.Err()
}

// line runs one line. What leaves is the end of it all.
func (p *Prompt) line(ctx context.Context, text string, before int) (status int, leave bool) {
	args, err := words.Split(text)
	if err != nil {
		fmt.Fprintf(p.Streams.Err, "error: %s\n", printable.Text(err.Error()))
		return 2, false
	}
	if len(args) > 0 && args[0] == p.Name {
		args = args[1:]
	}
	switch {
	case len(args) == 0 || strings.HasPrefix(args[0], "#"):
		return before, false
	case len(args) == 1 && slices.Contains(leaving(), args[0]):
		return before, true
	}
	limited, stop := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt)
	defer stop()
	return p.Run(limited, args), false
}

// leaving are the words that end it.
func leaving() []string { return []string{"exit", "quit", "logout"} }

// onTerminal edits lines. The terminal is as it was while a command runs.
func (p *Prompt) onTerminal(ctx context.Context, file *os.File) (status int, err error) {
	fmt.Fprint(p.Streams.Out, p.Greeting)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	defer signal.Stop(ended)
	editor := term.NewTerminal(terminal{interrupts{file}, p.Streams.Out}, p.Text)
	editor.AutoCompleteCallback = func(line string, at int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return p.complete(editor, line, at)
	}
	for {
		text, err := p.edit(file, editor, ended)
		switch {
		case errors.Is(err, errEnded):
			return status, nil
		case errors.Is(err, io.EOF):
			fmt.Fprintln(p.Streams.Out)
			return status, nil
		case err != nil && !errors.Is(err, term.ErrPasteIndicator):
			return status, err
		}
		leave := false
		if status, leave = p.line(ctx, text, status); leave {
			return status, nil
		}
	}
}

var errEnded = errors.New("told to end")

// edit reads one line.
func (p *Prompt) edit(file *os.File, editor *term.Terminal, ended <-chan os.Signal) (string, error) {
	fd := int(file.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("prepare terminal: %w", err)
	}
	defer term.Restore(fd, state)
	if width, height, err := term.GetSize(fd); err == nil {
		editor.SetSize(width, height)
	}
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	go func() { text, err := editor.ReadLine(); done <- read{text, err} }()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ended: // the reading ends with the process
		return "", errEnded
	}
}

// complete adds to the word before the cursor what is certain, and shows the choice
// where there is one.
func (p *Prompt) complete(out io.Writer, line string, at int) (string, int, bool) {
	before, after := line[:at], line[at:]
	args, err := words.Split(before)
	if err != nil {
		return "", 0, false
	}
	if len(args) > 0 && args[0] == p.Name {
		args = args[1:]
	}
	if before == "" || strings.HasSuffix(before, " ") {
		args = append(args, "")
	}
	if len(args) == 0 {
		return "", 0, false
	}
	typed := args[len(args)-1]
	choice := p.Complete(args)
	if len(args) == 1 {
		choice = append(choice, matching(leaving()[:1], typed)...)
	}
	if len(choice) == 0 || !strings.HasSuffix(before, typed) { // a word in quotes
		return "", 0, false
	}
	slices.Sort(choice)
	added := common(choice)[len(typed):]
	switch {
	case len(choice) == 1:
		added += " "
	case added == "":
		fmt.Fprintln(out, strings.Join(choice, "  "))
	}
	return before + added + after, at + len(added), true
}

func matching(list []string, begin string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.HasPrefix(s, begin) })
}

// common is what all of a list begin with.
func common(list []string) string {
	begin := list[0]
	for _, s := range list[1:] {
		for !strings.HasPrefix(s, begin) {
			begin = begin[:len(begin)-1]
		}
	}
	return begin
}

// terminal is both sides of one.
type terminal struct {
	io.Reader
	io.Writer
}

// interrupts makes Ctrl-C drop the line (as Ctrl-U does), and not leave.
type interrupts struct{ r io.Reader }

func (i interrupts) Read(b []byte) (int, error) {
	const interrupt, drop = 3, 21
	n, err := i.r.Read(b)
	copy(b, bytes.ReplaceAll(b[:n], []byte{interrupt}, []byte{drop}))
	return n, err
}
