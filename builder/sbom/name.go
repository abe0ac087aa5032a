package sbom

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fileName is the form of a path in a document. JSON holds Unicode only, and
// encoding/json would make one name of all that are not UTF-8: a byte that
// belongs to no character is written as \xHH, and a backslash as two.
func fileName(path string) string {
	if utf8.ValidString(path) && !strings.Contains(path, `\`) {
		return path
	}
	var out strings.Builder
	for len(path) > 0 {
		r, size := utf8.DecodeRuneInString(path)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, path[0])
		case r == '\\':
			out.WriteString(`\\`)
		default:
			out.WriteString(path[:size])
		}
		path = path[size:]
	}
	return out.String()
}

// filePath undoes fileName. What fileName does not write stays as it is.
func filePath(name string) string {
	if !strings.Contains(name, `\`) {
		return name
	}
	var out strings.Builder
	for len(name) > 0 {
		switch {
		case strings.HasPrefix(name, `\\`):
			out.WriteByte('\\')
			name = name[2:]
			continue
		case strings.HasPrefix(name, `\x`) && len(name) >= 4:
			if b, err := strconv.ParseUint(name[2:4], 16, 8); err == nil {
				out.WriteByte(byte(b))
				name = name[4:]
				continue
			}
		}
		out.WriteByte(name[0])
		name = name[1:]
	}
	return out.String()
}
