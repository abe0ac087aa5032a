package licence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/sbom/deb822"
)

// Declared is what a copyright file says about a source package.
type Declared struct {
	Expression string // SPDX; may use LicenseRef- identifiers
	Refs       []Ref  // those that it uses
}

// Ref is a licence that SPDX has no identifier for.
type Ref struct {
	ID   string // LicenseRef-…, from its name and text
	Name string // as the copyright file has it
	Text string
}

// ErrNotMachineReadable is returned for a copyright file that is prose.
var ErrNotMachineReadable = errors.New("the copyright file is not machine-readable")

// Debian reads a machine-readable copyright file (DEP-5, "copyright-format
// 1.0"): the licences of all its Files paragraphs, which describe the source
// that a binary package was built from.
func Debian(copyright string) (Declared, error) {
	if first, _, _ := strings.Cut(strings.TrimLeft(copyright, "\n"), "\n"); !strings.HasPrefix(strings.ToLower(first), "format:") || !strings.Contains(first, "copyright-format") {
		return Declared{}, ErrNotMachineReadable
	}
	paragraphs, err := deb822.Parse(copyright)
	if err != nil {
		return Declared{}, fmt.Errorf("read copyright file: %w", err)
	}
	d := dep5{texts: map[string]string{}, refs: map[string]Ref{}}
	for _, p := range paragraphs {
		if name, text, _ := strings.Cut(p["license"], "\n"); text != "" {
			d.texts[key(name)] = text
		}
	}
	var all []string
	for i, p := range paragraphs {
		name, _, _ := strings.Cut(p["license"], "\n")
		if _, files := p["files"]; name != "" && (files || i == 0) {
			all = append(all, d.expression(name))
		}
	}
	if len(all) == 0 {
		return Declared{}, errors.New("read copyright file: no Files paragraph names a licence")
	}
	return d.declared(All(all)), nil
}

// dep5 is a copyright file on its way.
type dep5 struct {
	texts map[string]string // licence, by key → text
	refs  map[string]Ref    // by ID
}

func (d dep5) declared(expression string) Declared {
	result := Declared{Expression: expression}
	for _, ref := range d.refs {
		result.Refs = append(result.Refs, ref)
	}
	slices.SortFunc(result.Refs, func(a, b Ref) int { return strings.Compare(a.ID, b.ID) })
	return result
}

func key(name string) string { return strings.Join(strings.Fields(strings.ToLower(name)), " ") }

// How DEP-5 joins licences: "and" binds closer than "or", and a comma before one of them least.
var (
	looseAnd = regexp.MustCompile(`(?i),\s+and\s+`)
	looseOr  = regexp.MustCompile(`(?i),\s+or\s+`)
	or       = regexp.MustCompile(`(?i)\s+or\s+`)
	and      = regexp.MustCompile(`(?i)\s+and\s+|\s*,\s*`)
)

// expression translates a License field: "GPL-2+ or Artistic, and BSD-3-clause".
func (d dep5) expression(field string) string {
	for _, operator := range []struct {
		split *regexp.Regexp
		word  string
	}{{looseAnd, " AND "}, {looseOr, " OR "}, {or, " OR "}, {and, " AND "}} {
		if parts := operator.split.Split(field, -1); len(parts) > 1 {
			return d.join(parts, operator.word)
		}
	}
	return d.single(strings.TrimSpace(field))
}

func (d dep5) join(parts []string, word string) string {
	var terms []string
	for _, part := range parts {
		if strings.TrimSpace(part) == "" {
			continue
		}
		term := d.expression(part)
		if strings.Contains(term, " AND ") || strings.Contains(term, " OR ") {
			term = "(" + term + ")"
		}
		terms = append(terms, term)
	}
	return strings.Join(terms, word)
}

// single translates one licence, with its exception if it has one. A name that
// Debian defines counts; any other only with a text that is known.
func (d dep5) single(name string) string {
	base, exception, with := strings.Cut(key(name), " with ")
	id := spdxID(base)
	if with && id != "" {
		if e := exceptions[strings.TrimSuffix(exception, " exception")]; e != "" {
			return id + " WITH " + e
		}
	}
	text := d.texts[key(name)]
	if with {
		return d.ref(name, text)
	}
	if id != "" {
		return id
	}
	if known := Text(text); known != "" {
		return known
	}
	return d.ref(name, text)
}

var notInRef = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// ref makes a LicenseRef of a licence that SPDX does not have: the same name and text give the same.
func (d dep5) ref(name, text string) string {
	sum := sha256.Sum256([]byte(name + "\n" + text))
	id := fmt.Sprintf("LicenseRef-%s-%x", strings.Trim(notInRef.ReplaceAllString(name, "-"), "-"), sum[:4])
	d.refs[id] = Ref{id, name, text}
	return id
}

// exceptions are those of DEP-5 names that say which one is meant.
var exceptions = map[string]string{
	"linux-syscall-note":  "Linux-syscall-note",
	"classpath":           "Classpath-exception-2.0",
	"gcc-runtime-library": "GCC-exception-3.1",
	"bison":               "Bison-exception-2.2",
}

// versioned matches the names of the Free Software Foundation's licences.
var versioned = regexp.MustCompile(`^(gpl|lgpl|agpl|gfdl)-(\d(?:\.\d)?)(?:\.0)?(\+?)$`)

// spdxID is the identifier of a licence that DEP-5 gives a short name (its
// section "License specification"), or "".
func spdxID(name string) string {
	if m := versioned.FindStringSubmatch(name); m != nil {
		version, kind := m[2], "-only"
		if !strings.Contains(version, ".") {
			version += ".0"
		}
		if m[3] != "" {
			kind = "-or-later"
		}
		return strings.ToUpper(m[1]) + "-" + version + kind
	}
	return shortNames[strings.TrimSuffix(name, ".0")]
}

// shortNames are the others, without a final ".0".
var shortNames = map[string]string{
	"apache-1": "Apache-1.0", "apache-1.1": "Apache-1.1", "apache-2": "Apache-2.0",
	"artistic-1": "Artistic-1.0", "artistic-2": "Artistic-2.0",
	"bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
	"cc0-1": "CC0-1.0", "cc-by-3": "CC-BY-3.0", "cc-by-4": "CC-BY-4.0", "cc-by-sa-3": "CC-BY-SA-3.0", "cc-by-sa-4": "CC-BY-SA-4.0",
	"cddl-1": "CDDL-1.0", "cpl-1": "CPL-1.0", "efl-2": "EFL-2.0", "expat": "MIT", "isc": "ISC",
	"lppl-1.3c": "LPPL-1.3c", "mpl-1.1": "MPL-1.1", "mpl-2": "MPL-2.0", "python-2": "Python-2.0",
	"qpl-1": "QPL-1.0", "w3c": "W3C", "zlib": "Zlib", "zope-2.1": "ZPL-2.1",
}
