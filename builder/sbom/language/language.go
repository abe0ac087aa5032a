// Package language finds the packages of programming languages that leave plain
// metadata beside their code:
//
//	node_modules/NAME/package.json           npm (docs.npmjs.com, "package.json")
//	NAME.dist-info/METADATA, .egg-info       Python (core metadata specifications 2.4)
//	META-INF/maven/…/pom.properties in .jar  Java (Maven Archiver)
//
// Go programs tell it themselves, see package sbom. Left out: lock files, which
// say what was wanted and not what is there; Java archives without Maven's
// metadata; other languages. What cannot be read is passed over: test data and
// templates have the names of metadata, too.
package language

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/tree"
)

// Package is a package of a programming language.
type Package struct {
	Kind    string // type of the package URL: "npm", "pypi", "maven"
	Group   string // npm's scope, Maven's group; may be empty
	Name    string
	Version string
	Licence string // as the package states it; may be empty
}

// maxMetadata bounds a file of metadata, in bytes.
const maxMetadata = 4 << 20

// Find returns the packages in a tree, sorted, each once.
func Find(t *tree.Tree) ([]Package, error) {
	var found []Package
	err := t.Walk(func(name string, n *tree.Node) error {
		if n.Type() != tree.TypeRegular {
			return nil
		}
		packages, err := read(name, n)
		found = append(found, packages...)
		return err
	})
	slices.SortFunc(found, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Version, b.Version), cmp.Compare(a.Licence, b.Licence))
	})
	return slices.Compact(found), err
}

// read reads a file if it is metadata by its name.
func read(name string, n *tree.Node) ([]Package, error) {
	dir, base := path.Dir(name), path.Base(name)
	switch {
	case base == "package.json" && isModule(dir):
		return metadata(n, npm)
	case base == "METADATA" && strings.HasSuffix(dir, ".dist-info"),
		base == "PKG-INFO" && strings.HasSuffix(dir, ".egg-info"), strings.HasSuffix(base, ".egg-info"):
		return metadata(n, python)
	case slices.Contains(javaArchives, path.Ext(base)):
		return java(n.Reader(), n.Size, maxNested), nil
	}
	return nil, nil
}

// metadata reads a whole file. The error is of the reading; what is no metadata is no package.
func metadata(n *tree.Node, parse func([]byte) (Package, bool)) ([]Package, error) {
	if n.Size > maxMetadata {
		return nil, nil
	}
	data := make([]byte, n.Size)
	if _, err := n.Reader().ReadAt(data, 0); err != nil && n.Size > 0 {
		return nil, err
	}
	if p, ok := parse(data); ok {
		return []Package{p}, nil
	}
	return nil, nil
}

// good says whether a package can be named.
func (p Package) good() bool {
	return p.Name != "" && p.Version != "" && !strings.ContainsAny(p.Group+p.Name+p.Version, " \t\r\n$")
}
