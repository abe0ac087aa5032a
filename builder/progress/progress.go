// Package progress shows how far long work has come: on a terminal a bar that is
// drawn over and over, elsewhere a plain line now and then, so that a log stays
// readable.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/ketch-os/ketch/internal/printable"
)

const (
	// drawEvery is how often a bar is drawn at most.
	drawEvery = 100 * time.Millisecond
	// lineEvery is how often a plain line is printed; work that takes less prints none.
	lineEvery = 5 * time.Second
	// barWidth is the length of a full bar in characters.
	barWidth = 28
)

// Bar shows the progress of one thing at a time. It is safe for concurrent use;
// a nil one shows nothing.
type Bar struct {
	w        io.Writer
	terminal bool
	now      func() time.Time

	mu    sync.Mutex
	what  string    // that is being shown
	begun time.Time // of it
	last  time.Time // something was shown
	drawn bool      // a bar stands on the terminal's line
}

// New returns a bar that is drawn on w, if that is a terminal.
func New(w io.Writer) *Bar {
	f, ok := w.(*os.File)
	return newBar(w, ok && term.IsTerminal(int(f.Fd())), time.Now)
}

func newBar(w io.Writer, terminal bool, now func() time.Time) *Bar {
	return &Bar{w: w, terminal: terminal, now: now}
}

// Show tells that of the bytes of what so many are done.
func (b *Bar) Show(what string, done, total int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if what != b.what {
		b.what, b.begun, b.last = what, now, now
	}
	every := lineEvery
	if b.terminal {
		every = drawEvery
	}
	if now.Sub(b.last) < every {
		return
	}
	b.last = now
	figure := figure(done, total, now.Sub(b.begun))
	if !b.terminal {
		printable.Fprintf(b.w, "%s: %s\n", what, figure)
		return
	}
	printable.Fprintf(b.w, "\r%s [%s] %s\x1b[K", what, bar(done, total), figure)
	b.drawn = true
}

// Clear takes the bar off the terminal: before anything else is printed there,
// and when the work is done.
func (b *Bar) Clear() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
	b.drawn, b.what = false, ""
}

func bar(done, total int64) string {
	full := int(fraction(done, total) * barWidth)
	return strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full)
}

func fraction(done, total int64) float64 {
	if total <= 0 {
		return 0
	}
	return min(float64(done)/float64(total), 1)
}

// figure is "43 % of 280 MiB, 35 MiB/s".
func figure(done, total int64, took time.Duration) string {
	const mib = 1 << 20
	text := fmt.Sprintf("%3.0f %% of %.0f MiB", 100*fraction(done, total), float64(total)/mib)
	if seconds := took.Seconds(); seconds > 0 {
		text += fmt.Sprintf(", %.0f MiB/s", float64(done)/mib/seconds)
	}
	return text
}
