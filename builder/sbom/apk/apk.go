// Package apk reads the database of installed packages that an Alpine system
// carries (apk-tools 2, apk-installed(5)): lib/apk/db/installed, paragraphs of
// lines "LETTER:value", of which F names a directory and R a file in it.
//
// Left out: checksums, dependencies, triggers, and the database of apk-tools 3.
package apk

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Package is a package that is installed.
type Package struct {
	Name         string
	Version      string
	Architecture string
	Origin       string // the source package
	Licence      string // as the package states it: mostly an SPDX expression
	Files        []string
}

// Tree is a file system that may hold a database. Reading what is not there
// gives fs.ErrNotExist.
type Tree interface {
	ReadFile(name string) ([]byte, error)
}

// databases are the places of the database: with a merged /usr it may have moved.
var databases = []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"}

// Read returns the packages installed, sorted by name. A tree without a database has none.
func Read(tree Tree) ([]Package, error) {
	for _, name := range databases {
		data, err := tree.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		packages, err := Parse(string(data))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		return packages, nil
	}
	return nil, nil
}

// Parse reads a database.
func Parse(text string) ([]Package, error) {
	var packages []Package
	var p Package
	dir := ""
	end := func() error {
		if p.Name == "" && p.Version == "" && len(p.Files) == 0 {
			return nil
		}
		if p.Name == "" || p.Version == "" || strings.ContainsAny(p.Name+p.Architecture, "/ ") {
			return fmt.Errorf("package %q has the version %q", p.Name, p.Version)
		}
		packages = append(packages, p)
		p, dir = Package{}, ""
		return nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if err := end(); err != nil {
				return nil, err
			}
			continue
		}
		letter, value, found := strings.Cut(line, ":")
		if !found || len(letter) != 1 {
			return nil, fmt.Errorf("%.40q is not a field", line)
		}
		switch letter {
		case "P":
			p.Name = value
		case "V":
			p.Version = value
		case "A":
			p.Architecture = value
		case "o":
			p.Origin = value
		case "L":
			p.Licence = value
		case "F":
			dir = value
		case "R":
			p.Files = append(p.Files, path.Join(dir, value))
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	return packages, nil
}
