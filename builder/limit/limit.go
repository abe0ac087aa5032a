// Package limit bounds what a command unpacks or writes of what comes from outside:
// seventeen kilobytes of a compressed layer can be a terabyte. Every command has the
// same bound and the same flag for another, --max-size.
package limit

import (
	"fmt"
	"io"
	"sync/atomic"
)

// Default is the bound unless --max-size says otherwise, in bytes.
const Default = 64 << 30

// Error is something that is larger than its bound, or becomes so.
type Error struct {
	What string // "write tree.tar"; may be empty
	Max  int64  // bytes
}

func (e *Error) Error() string {
	text := fmt.Sprintf("it becomes larger than %d bytes", e.Max)
	if e.What != "" {
		text = e.What + ": " + text
	}
	return text
}

// Hint is the cure.
func (e *Error) Hint() string { return "allow more with --max-size SIZE, if that is what it should be" }

// Check returns an *Error for a size that is beyond the bound.
func Check(size, most int64, what string) error {
	if size > most {
		return &Error{what, most}
	}
	return nil
}

// Budget is what is left of a bound. Any number of writers may share one.
type Budget struct {
	what string
	most int64
	used atomic.Int64
}

// New returns a budget of bytes for something.
func New(most int64, what string) *Budget { return &Budget{what: what, most: most} }

// Take takes bytes, or returns an *Error where there are not so many left.
func (b *Budget) Take(n int64) error { return Check(b.used.Add(n), b.most, b.what) }

// Writer returns a writer to w that takes what it writes. Nothing of a write that is
// too large is written.
func (b *Budget) Writer(w io.Writer) io.Writer { return &writer{w, b} }

type writer struct {
	w      io.Writer
	budget *Budget
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.budget.Take(int64(len(p))); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
