// Package sbom makes the bill of materials of an image: an SPDX document (SPDX
// 2.3) of every Debian package, every Go module in every Go program, the kernel,
// and every program and library with the package it belongs to.
//
// It looks into the container images that the tree carries for its workloads as
// into the tree itself, and finds there what npm, Python's and Java's package
// formats say, too.
//
// It reads the merged tree. What a file cannot tell itself comes from the
// inventories of our own layers and, in other people's images, from dpkg's
// database. The same tree gives the same bytes: the time is the release's, the
// namespace derives from the content. docs/sbom.md describes the document.
//
// Left out: files that are neither program nor library, packages of other
// package managers (their programs are listed as the image's), the single files
// of carried images, and conclusions about licences: what is here is what the
// packages declare.
package sbom

import (
	"fmt"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/layout"
)

// Source is what a bill of materials is made from.
type Source struct {
	Name, Version string
	Released      time.Time
	Kernel        string // source package and version: "linux-source-6.1 6.1.158-1"
	Images        []Image
	Databases     []*Database
	Tree          *tree.Tree // merged, and mapped to the shape of an OS
	// MaxSize bounds what is unpacked of the images for workloads, in bytes; 0:
	// limit.Default.
	MaxSize int64
}

// Image is a container image that went in.
type Image struct {
	Ref    string // as the definition writes it
	Digest string // of the manifest
}

// Make writes the bill of materials.
func Make(s Source) (*Document, error) {
	layers, err := s.layers()
	if err != nil {
		return nil, err
	}
	d := newDraft(s, layers)
	found, nodes, err := scan(s.Tree, d.nested())
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		d.addDebian,
		func() error { return d.addDatabases(nodes) },
		func() error { d.addImages(); return nil },
		func() error { return d.addLanguages(d.root, s.Tree) },
		d.addCarried,
		func() error { return d.addFiles(found) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return d.finish(), nil
}

// layer is the inventory of a layer, and where it was found.
type layer struct {
	*inventory.Layer
	origin *tree.Origin
}

// layers reads the inventories that our own layers carry.
func (s Source) layers() ([]layer, error) {
	dir := layout.PackagesDir[1:]
	n := s.Tree.Lookup(dir)
	if n == nil || !n.IsDir() {
		return nil, nil
	}
	var layers []layer
	for _, name := range n.Names() {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		data, err := s.Tree.ReadFile(dir + "/" + name)
		if err != nil {
			return nil, err
		}
		l, err := inventory.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s/%s of %s: %w", dir, name, n.Children[name].Origin, err)
		}
		layers = append(layers, layer{l, n.Children[name].Origin})
	}
	return layers, nil
}

// sameLayer tells whether two files were given by one layer.
func sameLayer(a, b *tree.Origin) bool {
	return a != nil && b != nil && a.Image == b.Image && a.Place == b.Place && a.Layer == b.Layer
}
