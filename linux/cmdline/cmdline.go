// Package cmdline reads the kernel's command line
// (Documentation/admin-guide/kernel-parameters.rst): parameters separated by
// white space, of which a double-quoted value may contain some. A "--" ends
// nothing here: the kernel leaves what follows it to init, and this is init.
package cmdline

import (
	"fmt"
	"os"
	"strings"
)

// Line is a parsed command line.
type Line struct {
	params []param
}

type param struct {
	name, value string
	hasValue    bool
}

// Read reads the command line that the running kernel was started with.
func Read() (*Line, error) {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, fmt.Errorf("read kernel command line: %w", err)
	}
	return Parse(string(text)), nil
}

// Parse splits a command line. Like the kernel it never fails.
func Parse(text string) *Line {
	line := &Line{}
	for _, word := range split(text) {
		name, value, hasValue := strings.Cut(word, "=")
		line.params = append(line.params, param{unquote(name), unquote(value), hasValue})
	}
	return line
}

// Get returns the value of the first occurrence of a parameter.
func (l *Line) Get(name string) (value string, ok bool) {
	for _, p := range l.params {
		if same(p.name, name) {
			return p.value, true
		}
	}
	return "", false
}

// Once returns the value of a parameter that must not occur twice: something
// outside the signed image may append to the command line, and a second
// occurrence is the sign of it.
func (l *Line) Once(name string) (value string, ok bool, err error) {
	for _, p := range l.params {
		if !same(p.name, name) {
			continue
		}
		if ok {
			return "", false, fmt.Errorf("kernel parameter %s occurs twice: %q and %q", name, value, p.value)
		}
		value, ok = p.value, true
	}
	return value, ok, nil
}

// same compares names as the kernel does: dashes and underscores are equal.
func same(a, b string) bool {
	dashes := func(s string) string { return strings.ReplaceAll(s, "-", "_") }
	return dashes(a) == dashes(b)
}

// split cuts text at white space outside double quotes.
func split(text string) []string {
	quoted := false
	return strings.FieldsFunc(text, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return !quoted && strings.ContainsRune(" \t\n\v\f\r\x00", c)
	})
}

func unquote(s string) string { return strings.ReplaceAll(s, `"`, "") }
