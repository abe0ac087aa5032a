package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/ketch-os/ketch/builder/qemu"
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
		text.WriteString("ketch run: Ctrl-A X ends the machine\r\n")
	}
	return text.String()
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

// announcer passes a console on, and says something once a certain line has
// come: the firmware clears the screen, so what is said before is not seen.
type announcer struct {
	out         io.Writer
	after, text string
	found       func(line string) error // is told of the line, before the text; nil: nobody is
	line        []byte
	said        bool
}

func (a *announcer) Write(p []byte) (int, error) {
	if a.said {
		return a.out.Write(p)
	}
	for i, b := range p {
		a.line = append(a.line, b)
		if b != '\n' {
			continue
		}
		a.said = strings.Contains(string(a.line), a.after)
		if a.said && a.found != nil {
			if err := a.found(string(a.line)); err != nil {
				return 0, err
			}
		}
		a.line = a.line[:0]
		if a.said {
			if _, err := a.out.Write(append(p[:i+1:i+1], a.text...)); err != nil {
				return i, err
			}
			n, err := a.out.Write(p[i+1:])
			return i + 1 + n, err
		}
	}
	return a.out.Write(p)
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
