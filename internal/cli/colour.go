package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Colour is what a word looks like on a terminal (ECMA-48, 8.3.117: SGR).
type Colour string

// The colours of words.
const (
	Bold   Colour = "1"
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
)

// Terminal tells whether what is written to w is read by a person at a terminal.
func Terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Paint colours a text that is written to w, where that is a terminal and its
// owner has not set NO_COLOR (no-color.org).
func Paint(w io.Writer, c Colour, text string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !Terminal(w) {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}
