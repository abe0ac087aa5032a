package sbom

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ketch-os/ketch/builder/sbom/dpkg"
	"github.com/ketch-os/ketch/builder/tree"
)

// Database is the packages of one image that has a database of them.
type Database struct {
	Distribution string // ID of os-release(5): "debian"
	packages     []installed
}

// installed is a package with its files.
type installed struct {
	dpkg.Package
	nodes []*tree.Node
}

// ReadDatabase reads the packages that an image has brought into the tree. It
// looks before the tree is mapped to the shape of an OS, because the database
// itself does not outlive that. It returns nil for an image without one.
func ReadDatabase(t *tree.Tree, ref, place string) (*Database, error) {
	from := imageTree{t, ref, place}
	packages, err := dpkg.Read(from)
	if err != nil {
		return nil, fmt.Errorf("packages of image %s: %w", ref, err)
	}
	if len(packages) == 0 {
		return nil, nil
	}
	db := &Database{Distribution: from.distribution()}
	for _, p := range packages {
		db.packages = append(db.packages, installed{p, from.nodes(p.Files)})
	}
	return db, nil
}

// imageTree is what one image has given to a tree: a dpkg.Tree.
type imageTree struct {
	*tree.Tree
	ref, place string
}

func (i imageTree) gave(n *tree.Node) bool {
	return n != nil && n.Origin != nil && n.Origin.Image == i.ref && n.Origin.Place == i.place
}

func (i imageTree) ReadFile(name string) ([]byte, error) {
	if n := i.Follow(name); !i.gave(n) || n.Type() != tree.TypeRegular {
		return nil, fs.ErrNotExist
	}
	return i.Tree.ReadFile(name)
}

func (i imageTree) Names(dir string) []string {
	n := i.Follow(dir)
	if n == nil {
		return nil
	}
	var names []string
	for _, name := range n.Names() {
		if i.gave(n.Children[name]) {
			names = append(names, name)
		}
	}
	return names
}

// nodes finds files that are the image's, directories left out.
func (i imageTree) nodes(names []string) []*tree.Node {
	var found []*tree.Node
	for _, name := range names {
		if n := i.Lookup(name); i.gave(n) && !n.IsDir() {
			found = append(found, n)
		}
	}
	return found
}

// distribution is the ID in os-release; an image without it is taken for Debian's.
func (i imageTree) distribution() string {
	data, err := i.ReadFile("etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		data, _ = i.ReadFile("usr/lib/os-release")
	}
	for line := range strings.Lines(string(data)) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), "ID="); found && id != "" {
			return strings.Trim(id, `"'`)
		}
	}
	return "debian"
}
