// Package printable shows what comes from outside to a person: names in images
// and layers, words of packages, of containers and of machines. Printed as it
// is, such text moves a terminal's cursor, renames its window, hides or reverses
// what stands beside it, or fakes a line of ours.
//
// What prints is left alone; everything else becomes an escape that can be seen,
// as Go writes it: \x1b, \u009b, \u202e. What prints are letters, marks, numbers,
// punctuation, symbols and the ASCII space (strconv.IsPrint). Control characters
// do not, those of C0 (ECMA-48, 5.2), DEL, and those of C1 (5.3), which U+009B
// begins a sequence with as ESC [ does; nor do the controls of bidirectional
// text (UAX #9, 2), characters without width, or bytes that are no UTF-8.
//
// The content of a file is not to go through here: a program gets every byte. JSON
// has an escape of its own for each character, and stays the same text (JSON).
package printable

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Name returns a name, quoted where something in it does not print, where it
// begins with a quote, or is empty: two different names never look the same.
func Name(name string) string {
	if name == "" || name[0] == '"' || escape(name, "") != name {
		return strconv.Quote(name)
	}
	return name
}

// Text returns text as one line.
func Text(text string) string { return escape(text, "") }

// Lines returns text with its line feeds and tabs.
func Lines(text string) string { return escape(text, "\n\t") }

// Fprintf writes to w as fmt.Fprintf does, each text among args, each error and what
// has a String method as one line (see Text), but for an Ours. The format may have
// lines. Verbs for text are %s and %v.
func Fprintf(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format, shown(args)...)
}

// Fprintln writes args to w with blanks between them, as Fprintf, and ends the line.
func Fprintln(w io.Writer, args ...any) { fmt.Fprintln(w, shown(args)...) }

// shown are arguments for fmt.
func shown(args []any) []any {
	list := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case Ours:
			list[i] = string(v)
		case string:
			list[i] = Text(v)
		case error:
			list[i] = Text(v.Error())
		case fmt.Stringer:
			list[i] = Text(v.String())
		default:
			list[i] = arg
		}
	}
	return list
}

// escape replaces what does not print, but for the characters in kept.
func escape(text, kept string) string {
	var out []byte // nil as long as nothing was replaced
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		whole := r != utf8.RuneError || size > 1 // else a byte that is no UTF-8
		if char := text[at : at+size]; whole && (strconv.IsPrint(r) || strings.ContainsRune(kept, r)) {
			if out != nil {
				out = append(out, char...)
			}
		} else {
			if out == nil {
				out = append(make([]byte, 0, len(text)+16), text[:at]...)
			}
			quoted := strconv.Quote(char)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		at += size
	}
	if out == nil {
		return text
	}
	return string(out)
}

// Writer passes lines on as Lines returns them.
type Writer struct {
	w    io.Writer
	rest []byte // the beginning of a character
}

// NewWriter returns a writer to w. A character may come in parts; Flush passes
// on what was never completed.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write takes all of p, or returns w's error.
func (w *Writer) Write(p []byte) (int, error) {
	text := append(w.rest, p...)
	whole := len(text) - partial(text)
	w.rest = append([]byte(nil), text[whole:]...)
	if _, err := io.WriteString(w.w, Lines(string(text[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush passes on the beginning of a character whose rest never came.
func (w *Writer) Flush() error {
	rest := string(w.rest)
	w.rest = nil
	_, err := io.WriteString(w.w, Lines(rest))
	return err
}

// partial returns how many bytes at the end of text may begin a character.
func partial(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
