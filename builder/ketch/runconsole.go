package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

// reach tells how to reach the machine.
func (o *runOptions) reach(promised promise) string {
	var text strings.Builder
	for _, f := range o.ports {
		printable.Fprintf(&text, "ketch run: http://127.0.0.1:%d/ reaches the machine's port %d\r\n", f.Host, f.Guest)
	}
	if promised.debug {
		text.WriteString("ketch run: Enter gets a shell on the machine, Ctrl-A X ends it\r\n")
	} else {
		text.WriteString(sayEnd)
	}
	return text.String()
}

// sayEnd is said early, too: a machine that does not come up has to be ended.
const sayEnd = "ketch run: Ctrl-A X ends the machine\r\n"

// waits tells somebody at a terminal what a command that prints nothing waits for.
func waits(e *env, format string, args ...any) {
	if cli.Terminal(e.stderr) {
		printable.Fprintf(e.stderr, "ketch run: "+format+"\n", args...)
	}
}

// defaultForwards makes the ports that an image serves reachable: under the same
// number, for those that only root may have 8000 more, or the next that is free.
func defaultForwards(ports []int) (list forwards) {
	taken := map[int]bool{}
	for _, guest := range ports {
		host := guest
		if host < 1024 {
			host += 8000
		}
		for ; host <= 65535; host++ {
			if !taken[host] && portFree(host) == nil {
				taken[host] = true
				list = append(list, qemu.Forward{Host: host, Guest: guest})
				break
			}
		}
	}
	return list
}

// announcer passes a console on, and says something once certain lines have come:
// the firmware clears the screen, so what is said before is not seen.
type announcer struct {
	out  io.Writer
	next []announcement // those to come, in the order of their lines
	line []byte
}

// announcement is what is said after the first line that contains something.
type announcement struct {
	after, text string
	found       func(line string) error // is told of the line, before the text; nil: nobody is
}

func (a *announcer) Write(p []byte) (int, error) {
	written := 0
	for i, b := range p {
		if len(a.next) == 0 {
			break
		}
		a.line = append(a.line, b)
		if b != '\n' {
			continue
		}
		line := string(a.line)
		a.line = a.line[:0]
		text, err := a.answer(line)
		if err != nil {
			return written, err
		}
		if text == "" {
			continue
		}
		if _, err := a.out.Write(append(p[written:i+1:i+1], text...)); err != nil {
			return written, err
		}
		written = i + 1
	}
	n, err := a.out.Write(p[written:])
	return written + n, err
}

// answer is what is said after a line.
func (a *announcer) answer(line string) (string, error) {
	said := a.next[0]
	if !strings.Contains(line, said.after) {
		return "", nil
	}
	a.next = a.next[1:]
	if said.found != nil {
		if err := said.found(line); err != nil {
			return "", err
		}
	}
	return said.text, nil
}

// rawTerminal notes the terminal's state, which QEMU changes, and returns what restores it.
func rawTerminal() (restore func()) {
	fd := int(os.Stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return func() {}
	}
	return func() { _ = term.Restore(fd, state) }
}

func portFree(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d of this host: %w", port, err)
	}
	return l.Close()
}
