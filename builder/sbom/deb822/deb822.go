// Package deb822 reads the paragraphs of fields that Debian's control files are
// made of (deb822(5); Debian Policy 5.1): dpkg's status, a package's control
// file, a machine-readable copyright file.
//
// Left out: signatures around a file, and the difference between simple, folded
// and multiline fields, which is their reader's to know.
package deb822

import (
	"errors"
	"fmt"
	"strings"
)

// Paragraph is the fields of a paragraph: lower-case name → value. The lines of
// a value are joined by line feeds and have lost the blank that marks them as
// continuations; a lone dot stands for an empty line and is read as one.
type Paragraph map[string]string

// Parse reads paragraphs, which empty lines separate. Lines that start with # are comments.
func Parse(text string) ([]Paragraph, error) {
	var p parser
	number := 0
	for line := range strings.Lines(text) {
		number++
		if err := p.line(strings.TrimRight(line, " \t\r\n")); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	p.endParagraph()
	return p.done, nil
}

// parser is a Parse on its way.
type parser struct {
	done    []Paragraph
	current Paragraph // nil between paragraphs
	name    string    // of the field that a continuation goes on with
	value   []string  // its lines
}

func (p *parser) line(line string) error {
	switch {
	case line == "":
		p.endParagraph()
		return nil
	case line[0] == '#':
		return nil
	case line[0] == ' ' || line[0] == '\t':
		if p.name == "" {
			return errors.New("a continuation of nothing")
		}
		p.value = append(p.value, continued(line))
		return nil
	}
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" || strings.ContainsAny(name, " \t") {
		return fmt.Errorf("%.40q is not a field", line)
	}
	p.endField()
	if p.current == nil {
		p.current = Paragraph{}
	}
	p.name, p.value = strings.ToLower(name), []string{strings.TrimSpace(value)}
	if _, twice := p.current[p.name]; twice {
		return fmt.Errorf("field %s stands twice in a paragraph", name)
	}
	return nil
}

func (p *parser) endField() {
	if p.name != "" {
		p.current[p.name] = strings.Join(p.value, "\n")
	}
	p.name = ""
}

func (p *parser) endParagraph() {
	p.endField()
	if p.current != nil {
		p.done = append(p.done, p.current)
	}
	p.current = nil
}

// continued is the text of a continuation line.
func continued(line string) string {
	if line = line[1:]; line == "." {
		return ""
	}
	return line
}
