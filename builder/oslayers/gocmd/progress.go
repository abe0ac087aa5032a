package gocmd

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// reportEvery is how often a long compilation says how far it is.
const reportEvery = 5 * time.Second

// progress reads what `go build -v` prints: a line for each package as it is
// compiled, "go: downloading …" for each module, and complaints.
type progress struct {
	name   string
	total  int // packages of the program; those in Go's cache are not announced
	report func(string)
	last   time.Time

	line       []byte // the one being received
	compiled   int
	downloaded int
	complaints []string
}

func (p *progress) Write(b []byte) (int, error) {
	p.line = append(p.line, b...)
	for {
		line, rest, found := bytes.Cut(p.line, []byte("\n"))
		if !found {
			return len(b), nil
		}
		p.read(string(line))
		p.line = rest
	}
}

func (p *progress) read(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		p.downloaded++
	case isPackage(line):
		p.compiled++
	default:
		p.complaints = append(p.complaints, line)
	}
	if p.report != nil && time.Since(p.last) >= reportEvery {
		p.last = time.Now()
		p.report(p.figure())
	}
}

// isPackage tells an import path from a complaint, which has blanks or starts with "#".
func isPackage(line string) bool {
	return line != "" && !strings.ContainsAny(line, " \t:#")
}

func (p *progress) figure() string {
	if p.compiled == 0 && p.downloaded > 0 {
		return fmt.Sprintf("%s: %d modules downloaded", p.name, p.downloaded)
	}
	if p.total == 0 || p.compiled > p.total {
		return fmt.Sprintf("%s: %d packages compiled", p.name, p.compiled)
	}
	return fmt.Sprintf("%s: %d %% (%d of %d packages)", p.name, 100*p.compiled/p.total, p.compiled, p.total)
}

// maxComplaints is how many lines of the compiler's an error repeats.
const maxComplaints = 12

func (p *progress) explain(err error) error {
	lines := p.complaints
	if rest := string(bytes.TrimSpace(p.line)); rest != "" {
		lines = append(lines, rest)
	}
	if len(lines) > maxComplaints {
		lines = append(lines[:maxComplaints:maxComplaints], "…")
	}
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w\n\t%s", err, strings.Join(lines, "\n\t"))
}
