package sbom

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ketch-os/ketch/builder/sbom/apk"
	"github.com/ketch-os/ketch/builder/sbom/dpkg"
	"github.com/ketch-os/ketch/builder/sbom/rpm"
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
	kind    string // of package URLs: "deb", "apk" or "rpm"
	epoch   int    // of RPM's; it is in Version, too
	licence string // as the package itself states it; Debian's have a file for that
	nodes   []*tree.Node
}

// database is the files of a tree that package databases are read from.
type database interface {
	dpkg.Tree
	apk.Tree
	rpm.Tree
	nodes(names []string) []*tree.Node
}

// readDatabases reads the databases of Debian's, of Alpine's and of RPM's packages.
func readDatabases(from database) (*Database, error) {
	debian, err := dpkg.Read(from)
	if err != nil {
		return nil, err
	}
	alpine, err := apk.Read(from)
	if err != nil {
		return nil, err
	}
	others, err := rpm.Read(from)
	if err != nil {
		return nil, err
	}
	if len(debian)+len(alpine)+len(others) == 0 {
		return nil, nil
	}
	db := &Database{Distribution: distribution(from)}
	for _, p := range debian {
		db.packages = append(db.packages, installed{Package: p, kind: "deb", nodes: from.nodes(p.Files)})
	}
	for _, p := range alpine {
		common := dpkg.Package{Name: p.Name, Version: p.Version, Architecture: p.Architecture, Source: p.Origin, Files: p.Files, FilesRecorded: true}
		db.packages = append(db.packages, installed{Package: common, kind: "apk", licence: p.Licence, nodes: from.nodes(p.Files)})
	}
	for _, p := range others {
		version := p.Version
		if p.Epoch > 0 {
			version = fmt.Sprintf("%d:%s", p.Epoch, version)
		}
		common := dpkg.Package{Name: p.Name, Version: version, Architecture: p.Architecture, Source: p.Source, Files: p.Files, FilesRecorded: len(p.Files) > 0}
		db.packages = append(db.packages, installed{Package: common, kind: "rpm", epoch: p.Epoch, licence: p.Licence, nodes: from.nodes(p.Files)})
	}
	return db, nil
}

// ReadDatabase reads the packages that an image has brought into the tree. It
// looks before the tree is mapped to the shape of an OS, because the database
// itself does not outlive that. It returns nil for an image without one.
func ReadDatabase(t *tree.Tree, ref, place string) (*Database, error) {
	db, err := readDatabases(imageTree{t, ref, place})
	if err != nil {
		return nil, fmt.Errorf("packages of image %s: %w", ref, err)
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
func distribution(from database) string {
	data, err := from.ReadFile("etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		data, _ = from.ReadFile("usr/lib/os-release")
	}
	for line := range strings.Lines(string(data)) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), "ID="); found && id != "" {
			return strings.Trim(id, `"'`)
		}
	}
	return "debian"
}

// wholeTree is a tree of one image: a database.
type wholeTree struct{ *tree.Tree }

func (w wholeTree) ReadFile(name string) ([]byte, error) {
	if n := w.Follow(name); n == nil || n.Type() != tree.TypeRegular {
		return nil, fs.ErrNotExist
	}
	return w.Tree.ReadFile(name)
}

func (w wholeTree) Names(dir string) []string {
	if n := w.Follow(dir); n != nil && n.IsDir() {
		return n.Names()
	}
	return nil
}

func (w wholeTree) nodes(names []string) []*tree.Node {
	var found []*tree.Node
	for _, name := range names {
		if n := w.Lookup(name); n != nil && !n.IsDir() {
			found = append(found, n)
		}
	}
	return found
}
