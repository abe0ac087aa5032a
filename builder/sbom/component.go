package sbom

import (
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/sbom/dpkg"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/sbom/licence"
	"github.com/ketch-os/ketch/builder/tree"
)

// addDebian adds the Debian packages that gave files to our own layers.
func (d *draft) addDebian() error {
	for _, l := range d.layers {
		for _, p := range l.Debian {
			added, err := d.debian("debian", p)
			if err != nil {
				return err
			}
			d.relate(d.root.SPDXID, Contains, added.SPDXID)
			for _, name := range p.Files {
				if n := d.Tree.Lookup(name); n != nil && sameLayer(n.Origin, l.origin) {
					d.owners[n] = added
				}
			}
		}
	}
	return nil
}

// addDatabases adds the packages of other people's images, as far as any of
// their files is in the tree.
func (d *draft) addDatabases(inTree map[*tree.Node]bool) error {
	for _, db := range d.Databases {
		for _, p := range db.packages {
			there := func(n *tree.Node) bool { return inTree[n] }
			if p.FilesRecorded && !slices.ContainsFunc(p.nodes, there) {
				continue
			}
			added, err := d.installed(d.licence, db.Distribution, p)
			if err != nil {
				return err
			}
			d.relate(d.root.SPDXID, Contains, added.SPDXID)
			for _, n := range p.nodes {
				d.owners[n] = added
			}
		}
	}
	return nil
}

// installed adds a package that a database lists.
func (d *draft) installed(from licences, distribution string, p installed) (*Package, error) {
	if p.kind == "deb" {
		return d.debianIn(from, distribution, inventory.Debian{Name: p.Name, Version: p.Version, Architecture: p.Architecture, Source: p.Source})
	}
	made := &Package{
		Name: p.Name, Version: p.Version, LicenceDeclared: stated(p.licence),
	}
	if p.kind == "rpm" {
		made.ExternalRefs = purl(rpmURL(distribution, p))
	} else {
		made.ExternalRefs = purl(apkURL(distribution, p.Name, p.Version, p.Architecture))
	}
	if made.LicenceDeclared == noAssertion && p.licence != "" {
		made.LicenceComments = "the package states: " + p.licence
	}
	if p.Source != "" && p.Source != p.Name {
		made.SourceInfo = "built from source package " + p.Source
	}
	return d.add(p.kind, made), nil
}

func (d *draft) debian(distribution string, p inventory.Debian) (*Package, error) {
	return d.debianIn(d.licence, distribution, p)
}

// debianIn adds a Debian package whose copyright file lies in a tree.
func (d *draft) debianIn(from licences, distribution string, p inventory.Debian) (*Package, error) {
	declared, err := from.debian(p)
	if err != nil {
		return nil, err
	}
	made := &Package{
		Name: p.Name, Version: p.Version, LicenceDeclared: declared.expression, LicenceComments: declared.comment,
		ExternalRefs: purl(debURL(distribution, p.Name, p.Version, p.Architecture)),
	}
	if p.SHA256 != "" {
		made.Checksums = []Checksum{{"SHA256", p.SHA256}}
	}
	if source, version := dpkg.SourceOf(p.Name, p.Version, p.Source); source != p.Name || version != p.Version {
		made.SourceInfo = fmt.Sprintf("built from source package %s %s", source, version)
	}
	kind := "deb"
	if distribution != "debian" {
		kind += "-" + distribution
	}
	return d.add(kind, made), nil
}

// kernel is the source that the kernel was built from.
func (d *draft) kernel() *Package {
	name, version, _ := strings.Cut(d.Kernel, " ")
	return d.component("kernel", &Package{
		Name: name, Version: version, LicenceDeclared: "GPL-2.0-only WITH Linux-syscall-note",
		ExternalRefs: purl(debURL("debian", name, version, "all")), SourceInfo: "the kernel is built from this source package",
	})
}

// own is the module that a layer's own files are of.
func (d *draft) own(m *inventory.Module) *Package { return d.component("golang", module(*m)) }

// goModule adds a module that a program is linked with.
func (d *draft) goModule(m *debug.Module) *Package {
	known, ok := d.modules[m.Path+"@"+m.Version]
	if !ok {
		known = inventory.Module{ModuleVersion: inventory.ModuleVersion{Path: m.Path, Version: m.Version}, Sum: m.Sum}
	}
	return d.add("golang", module(known))
}

func module(m inventory.Module) *Package {
	p := &Package{Name: m.Path, Version: m.Version, LicenceDeclared: stated(m.Licence)}
	for _, file := range slices.Sorted(maps.Keys(m.SHA256)) {
		p.LicenceComments += fmt.Sprintf("%s has SHA-256 %s. ", file, m.SHA256[file])
	}
	p.LicenceComments = strings.TrimSpace(p.LicenceComments)
	if m.Sum != "" {
		p.SourceInfo = "go.sum " + m.Sum
	}
	version := m.Version
	if version == "(devel)" {
		version = ""
	}
	p.ExternalRefs = purl(golangURL(m.Path, version))
	return p
}

// stated is a licence that an inventory names, as far as it is one: the layer may be anybody's.
func stated(expression string) string {
	if !licence.Valid(expression) || strings.Contains(expression, "LicenseRef-") {
		return noAssertion
	}
	return expression
}

// standardLibrary is that of a Go release: "go1.26.1", or with a remark behind it.
func (d *draft) standardLibrary(release string) *Package {
	release, _, _ = strings.Cut(release, " ")
	version := strings.TrimPrefix(release, "go")
	return d.add("golang", &Package{
		Name: "stdlib", Version: version, LicenceDeclared: "BSD-3-Clause", ExternalRefs: purl(golangURL("stdlib", version)),
		Comment: "Go's standard library and run-time system",
	})
}
