// Package words takes a command line apart where there is no shell: blanks part
// words, quotes and backslashes join them, by the rules of POSIX (Shell Command
// Language, 2.2). Nothing is expanded.
//
// What a shell would do more with is refused, not taken as a word: whoever writes
// `logs web | tail` expects a pipe.
package words

import (
	"errors"
	"fmt"
	"strings"
)

// special are the characters that mean more to a shell than themselves.
const special = "|&;<>()$`*?[]#~{}!\n"

// Split returns the words of a line.
func Split(line string) ([]string, error) {
	if strings.ContainsRune(line, 0) {
		return nil, errors.New("there is a NUL in the command line")
	}
	var words []string
	for rest := strings.TrimLeft(line, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		word, after, err := first(rest)
		if err != nil {
			return nil, err
		}
		words, rest = append(words, word), after
	}
	return words, nil
}

// first takes one word off a text that begins with it.
func first(text string) (word, rest string, err error) {
	var out strings.Builder
	for at := 0; at < len(text); {
		switch c := text[at]; {
		case c == ' ' || c == '\t':
			return out.String(), text[at:], nil
		case c == '\'':
			end := strings.IndexByte(text[at+1:], '\'')
			if end < 0 {
				return "", "", errOpen('\'')
			}
			out.WriteString(text[at+1 : at+1+end])
			at += end + 2
		case c == '"':
			size, err := quoted(&out, text[at+1:])
			if err != nil {
				return "", "", err
			}
			at += size + 1
		case c == '\\':
			if at+1 == len(text) {
				return "", "", errors.New(`the line ends with a \`)
			}
			if text[at+1] != '\n' { // with a backslash a line goes on
				out.WriteByte(text[at+1])
			}
			at += 2
		case strings.IndexByte(special, c) >= 0:
			return "", "", fmt.Errorf("%q means something to a shell, and there is none here: in single quotes it stands for itself", c)
		default:
			out.WriteByte(c)
			at++
		}
	}
	return out.String(), "", nil
}

// quoted takes what stands up to a double quote, and returns its size with that.
func quoted(out *strings.Builder, text string) (size int, err error) {
	for at := 0; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			return at + 1, nil
		case c == '\\' && at+1 < len(text) && strings.IndexByte("$`\"\\\n", text[at+1]) >= 0:
			if at++; text[at] != '\n' {
				out.WriteByte(text[at])
			}
		case c == '$' || c == '`':
			return 0, fmt.Errorf("%q means something to a shell, and there is none here: in single quotes it stands for itself", c)
		default:
			out.WriteByte(c)
		}
	}
	return 0, errOpen('"')
}

func errOpen(quote byte) error { return fmt.Errorf("the quote %c is never closed", quote) }

// Join returns a line that Split takes apart into words.
func Join(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		if word == "" || strings.ContainsAny(word, special+" \t'\"\\") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		quoted[i] = word
	}
	return strings.Join(quoted, " ")
}
