package sbom

import (
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/layout"
)

// addFiles adds the programs and libraries, each with the package it belongs to
// and what is linked into it.
func (d *draft) addFiles(found []*binary) error {
	for _, b := range found {
		f := &File{
			Name: "./" + fileName(b.name), SPDXID: d.id("File-" + b.name), Types: []string{b.fileType},
			Checksums: []Checksum{{"SHA1", b.sha1}, {"SHA256", b.sha256}},
		}
		d.files = append(d.files, f)
		d.relate(d.owner(b).SPDXID, Contains, f.SPDXID)
		if b.info != nil {
			d.link(f, b.info.GoVersion, b.info.Deps)
		}
	}
	return d.addRecorded()
}

// owner is the package that a file belongs to.
func (d *draft) owner(b *binary) *Package {
	if p := d.owners[b.node]; p != nil {
		return p
	}
	own := d.ownModule(b.node)
	switch {
	case b.name == layout.BootKernel && d.Kernel != "":
		return d.kernel()
	case b.info != nil && b.info.Main.Path != "" && (own == nil || b.info.Main.Sum != ""):
		p := d.goModule(&b.info.Main)
		d.relate(d.root.SPDXID, Contains, p.SPDXID)
		return p
	case own != nil:
		return d.own(own)
	}
	return d.imageOf(b)
}

// ownModule is the module whose layer gave the file, nil in other people's images.
func (d *draft) ownModule(n *tree.Node) *inventory.Module {
	for _, l := range d.layers {
		if sameLayer(l.origin, n.Origin) {
			return l.Own
		}
	}
	return nil
}

// imageOf is the container image that gave the file.
func (d *draft) imageOf(b *binary) *Package {
	for _, image := range d.Images {
		if b.node.Origin != nil && image.Ref == b.node.Origin.Image {
			return d.image(image)
		}
	}
	return d.root
}

// link relates a Go program to the modules in it.
func (d *draft) link(f *File, release string, modules []*debug.Module) {
	d.relate(f.SPDXID, StaticLink, d.standardLibrary(release).SPDXID)
	for _, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		d.relate(f.SPDXID, StaticLink, d.goModule(m).SPDXID)
	}
}

// addRecorded adds what only the layers' inventories tell: the C archives that
// programs are linked with, and the programs in container images.
func (d *draft) addRecorded() error {
	for _, f := range d.files {
		name := filePath(strings.TrimPrefix(f.Name, "./"))
		for _, path := range slices.Sorted(maps.Keys(d.programs)) {
			program := d.programs[path]
			archive, _, nested := strings.Cut(path, ":")
			if archive != name {
				continue
			}
			if nested {
				d.link(f, program.Go, recorded(program))
			}
			for _, p := range program.Linked {
				added, err := d.debian("debian", p)
				if err != nil {
					return err
				}
				d.relate(f.SPDXID, StaticLink, added.SPDXID)
			}
		}
	}
	return nil
}

func recorded(p *inventory.Program) []*debug.Module {
	var modules []*debug.Module
	for _, m := range p.Modules {
		modules = append(modules, &debug.Module{Path: m.Path, Version: m.Version})
	}
	return modules
}
