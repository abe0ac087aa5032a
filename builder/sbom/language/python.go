package language

import (
	"cmp"
	"regexp"
	"strings"
)

var separators = regexp.MustCompile(`[-_.]+`)

// python reads core metadata: headers as in a mail, up to an empty line.
func python(data []byte) (Package, bool) {
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			continue // a continuation
		}
		if name = strings.ToLower(name); fields[name] == "" {
			fields[name] = strings.TrimSpace(value)
		}
	}
	// Names are the same whatever their case and separators (PEP 503).
	p := Package{
		Kind: "pypi", Name: strings.ToLower(separators.ReplaceAllString(fields["name"], "-")), Version: fields["version"],
		Licence: cmp.Or(fields["license-expression"], fields["license"]),
	}
	return p, p.good()
}
