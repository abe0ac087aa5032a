package printable

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf16"
	"unicode/utf8"
)

// Table prints rows of cells, in columns. What a cell holds is text on one line: a
// line feed or a tab in it begins neither a row nor a column, so that nothing from
// outside looks like a line of ours.
type Table struct{ w *tabwriter.Writer }

// Ours is text that is printed as it is: words of the program, with colours.
type Ours string

// NewTable returns a table that is written to w, when it is flushed.
func NewTable(w io.Writer) *Table { return &Table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// Row adds a row; without cells it is an empty line, and of one cell it widens no
// column. Errors are Flush's.
func (t *Table) Row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			t.w.Write([]byte("\t"))
		}
		text := fmt.Sprint(cell)
		if _, ours := cell.(Ours); !ours {
			text = Text(strings.ReplaceAll(text, "\t", " "))
		}
		io.WriteString(t.w, text)
	}
	t.w.Write([]byte("\n"))
}

// Flush writes the table.
func (t *Table) Flush() error { return t.w.Flush() }

// JSON returns text in JSON that means the same and has no character that does not
// print, but for the white space between values: those of C0 are escaped in any
// JSON, those of C1 and the others are here.
func JSON(text []byte) []byte {
	var out []byte // nil as long as nothing was replaced
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if strconv.IsPrint(r) || r == '\n' || r == '\t' || r == '\r' {
			if out != nil {
				out = append(out, text[at:at+size]...)
			}
		} else {
			if out == nil {
				out = append(make([]byte, 0, len(text)+16), text[:at]...)
			}
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		at += size
	}
	if out == nil {
		return text
	}
	return out
}
