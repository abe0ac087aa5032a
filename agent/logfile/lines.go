package logfile

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ketch-os/ketch/internal/printable"
)

const (
	// maxLine is where a line is cut, in bytes: the kernel log, where the
	// console's lines go, takes records of about 1,000 bytes.
	maxLine = 900
	// maxLines is how many lines are passed on in each period: a serial line of
	// 115,200 baud takes about 100 a second, and the log has them all.
	maxLines = 100
	period   = 10 * time.Second
)

// Console passes whole lines on to W, each with a prefix and in one Write, so
// that the lines of several writers do not mix. Control characters, which a
// container could use to repaint the terminal, become "?". Lines that come too
// fast are left out, which a line says.
type Console struct {
	W      io.Writer
	Prefix string

	mu     sync.Mutex
	line   []byte    // the begun line
	since  time.Time // when the period began
	shown  int       // lines in this period
	missed int       // lines left out in this period
}

// Write takes any piece of output. It reports no error: a console that cannot
// be written to must not stop the log.
func (c *Console) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for rest := data; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			c.add(rest)
			break
		}
		c.add(rest[:end])
		c.flush()
		rest = rest[end+1:]
	}
	return len(data), nil
}

// add appends to the begun line; what is over maxLine is dropped.
func (c *Console) add(part []byte) {
	part = part[:min(len(part), maxLine-len(c.line))]
	for _, b := range part {
		if b != '\r' {
			c.line = append(c.line, b)
		}
	}
}

// flush passes the line on, if there is room for it in this period.
func (c *Console) flush() {
	if now := time.Now(); now.Sub(c.since) >= period {
		if c.missed > 0 {
			c.print(fmt.Appendf(nil, "(%d lines are in the log only)", c.missed))
		}
		c.since, c.shown, c.missed = now, 0, 0
	}
	if c.shown < maxLines {
		c.shown++
		c.print([]byte(printable.Lines(string(c.line))))
	} else {
		c.missed++
	}
	c.line = c.line[:0]
}

func (c *Console) print(line []byte) {
	c.W.Write(fmt.Appendf(nil, "%s%s\n", c.Prefix, line))
}
