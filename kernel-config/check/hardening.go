package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// An Exception excuses one item of the hardening list.
type Exception struct {
	Position
	Symbol string // with its CONFIG_ prefix
	Reason string
}

var excused = regexp.MustCompile(`^(CONFIG_[A-Za-z0-9_]+):(.*)$`)

func readExceptions(path string) ([]Exception, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", err)
	}
	defer file.Close()
	exceptions, err := parseExceptions(file, filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", err)
	}
	return exceptions, nil
}

// parseExceptions reads lines "CONFIG_NAME: reason"; an indented line carries
// the reason on, "#" starts a comment line.
func parseExceptions(r io.Reader, name string) ([]Exception, error) {
	var exceptions []Exception
	at := Position{File: name}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		at.Line++
		line := lines.Text()
		text := strings.TrimSpace(line)
		match := excused.FindStringSubmatch(line)
		switch {
		case text == "" || strings.HasPrefix(line, "#"):
		case match != nil:
			exceptions = append(exceptions, Exception{Position: at, Symbol: match[1], Reason: strings.TrimSpace(match[2])})
		case len(exceptions) > 0 && strings.HasPrefix(line, " "):
			last := &exceptions[len(exceptions)-1]
			last.Reason = strings.TrimSpace(last.Reason + " " + text)
		default:
			return nil, fmt.Errorf(`%s: want "CONFIG_NAME: reason", got %q`, at, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return exceptions, nil
}

// check returns every problem, in the order of the files.
func check(fragments, list []Setting, exceptions []Exception, known map[string]bool, values map[string]string) []string {
	return slices.Concat(
		checkTwice(fragments), checkTwice(list),
		checkKnown(fragments, known), checkKnown(list, known),
		checkEffect(fragments, values),
		checkHardening(list, exceptions, values),
	)
}

// checkTwice finds symbols that are set more than once.
func checkTwice(settings []Setting) []string {
	var problems []string
	first := make(map[string]Position)
	for _, setting := range settings {
		if earlier, ok := first[setting.Symbol]; ok {
			problems = append(problems, fmt.Sprintf("%s: %s: set before, at %s", setting.Position, setting.Symbol, earlier))
			continue
		}
		first[setting.Symbol] = setting.Position
	}
	return problems
}

// checkKnown finds symbols that the kernel does not have. A nil map knows all.
func checkKnown(settings []Setting, known map[string]bool) []string {
	var problems []string
	for _, setting := range settings {
		if known != nil && !known[setting.Symbol] {
			problems = append(problems, fmt.Sprintf("%s: %s: this kernel has no such symbol", setting.Position, setting.Symbol))
		}
	}
	return problems
}

// checkEffect finds settings that the configuration does not have.
func checkEffect(wanted []Setting, values map[string]string) []string {
	var problems []string
	for _, setting := range wanted {
		if got := valueOf(values, setting.Symbol); got != setting.Value {
			problems = append(problems, fmt.Sprintf("%s: %s: want %s, got %s", setting.Position, setting.Symbol, setting.Value, got))
		}
	}
	return problems
}

// checkHardening finds items that are neither met nor excepted, and exceptions
// that excuse nothing or give no reason.
func checkHardening(list []Setting, exceptions []Exception, values map[string]string) []string {
	unmet := make(map[string]bool)
	var items []Setting
	for _, item := range list {
		if valueOf(values, item.Symbol) == item.Value {
			continue
		}
		unmet[item.Symbol] = true
		isExcepted := func(e Exception) bool { return e.Symbol == item.Symbol }
		if !slices.ContainsFunc(exceptions, isExcepted) {
			items = append(items, item)
		}
	}
	return append(checkEffect(items, values), checkExceptions(exceptions, list, unmet)...)
}

func checkExceptions(exceptions []Exception, list []Setting, unmet map[string]bool) []string {
	var problems []string
	listed := valuesOf(list)
	excepted := make(map[string]Position)
	for _, exception := range exceptions {
		report := func(format string, args ...any) {
			text := fmt.Sprintf(format, args...)
			problems = append(problems, fmt.Sprintf("%s: %s: %s", exception.Position, exception.Symbol, text))
		}
		if exception.Reason == "" {
			report("an exception needs a reason")
		}
		if earlier, ok := excepted[exception.Symbol]; ok {
			report("excepted before, at %s", earlier)
		}
		excepted[exception.Symbol] = exception.Position
		if _, ok := listed[exception.Symbol]; !ok {
			report("stale exception: not on the hardening list")
		} else if !unmet[exception.Symbol] {
			report("stale exception: the item is met")
		}
	}
	return problems
}
