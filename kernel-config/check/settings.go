package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A Position is a line of a file, as compilers print it.
type Position struct {
	File string
	Line int // from 1
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// A Setting is one symbol and its value, as a line of a configuration gives it:
// "y", a number, or a quoted string. "n" stands for "is not set".
type Setting struct {
	Position
	Symbol string // with its CONFIG_ prefix
	Value  string
}

// unset is the value of a symbol that a configuration does not mention.
const unset = "n"

// The two forms of a setting in a .config file
// (linux: Documentation/kbuild/kconfig.rst and scripts/kconfig/confdata.c).
var (
	assignment = regexp.MustCompile(`^(CONFIG_[A-Za-z0-9_]+)=(.+)$`)
	negation   = regexp.MustCompile(`^# (CONFIG_[A-Za-z0-9_]+) is not set$`)
	number     = regexp.MustCompile(`^(-?[0-9]+|0x[0-9A-Fa-f]+)$`)
	quoted     = regexp.MustCompile(`^"([^"\\]|\\.)*"$`)
)

// readSettings reads configuration files one after the other.
func readSettings(paths ...string) ([]Setting, error) {
	var settings []Setting
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read settings: %w", err)
		}
		more, err := parseSettings(file, filepath.Clean(path))
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("read settings: %w", err)
		}
		settings = append(settings, more...)
	}
	return settings, nil
}

// parseSettings reads settings, comments and empty lines. A comment that
// starts with a symbol's name is a setting gone wrong, and an error.
func parseSettings(r io.Reader, name string) ([]Setting, error) {
	var settings []Setting
	at := Position{File: name}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		at.Line++
		line := lines.Text()
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# CONFIG_") {
			continue
		}
		setting, err := parseSetting(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		setting.Position = at
		settings = append(settings, setting)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return settings, nil
}

func parseSetting(line string) (Setting, error) {
	if match := negation.FindStringSubmatch(line); match != nil {
		return Setting{Symbol: match[1], Value: unset}, nil
	}
	match := assignment.FindStringSubmatch(line)
	if match == nil {
		return Setting{}, fmt.Errorf(`want CONFIG_NAME=value or "# CONFIG_NAME is not set", got %q`, line)
	}
	symbol, value := match[1], match[2]
	switch {
	case value == "y" || number.MatchString(value) || quoted.MatchString(value):
		return Setting{Symbol: symbol, Value: value}, nil
	case value == "n":
		return Setting{}, fmt.Errorf(`write "# %s is not set" for %s=n`, symbol, symbol)
	case value == "m":
		return Setting{}, fmt.Errorf("%s=m: no loadable modules are shipped", symbol)
	}
	return Setting{}, fmt.Errorf("%s: not a value: %s", symbol, value)
}

// valuesOf indexes settings by symbol.
func valuesOf(settings []Setting) map[string]string {
	values := make(map[string]string, len(settings))
	for _, setting := range settings {
		values[setting.Symbol] = setting.Value
	}
	return values
}

// valueOf is the symbol's value in a configuration that need not mention it.
func valueOf(values map[string]string, symbol string) string {
	if value, ok := values[symbol]; ok {
		return value
	}
	return unset
}

// readSymbols reads names of symbols, one a line, without the CONFIG_ prefix.
// No path gives nil: nothing is known about the names.
func readSymbols(path string) (map[string]bool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	known := make(map[string]bool)
	for name := range strings.FieldsSeq(string(data)) {
		known["CONFIG_"+name] = true
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("read symbols: %s is empty", path)
	}
	return known, nil
}
