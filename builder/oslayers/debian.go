package oslayers

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/ketch-os/ketch/builder/oslayers/apt"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
)

// debian takes files out of Debian packages. A package's usr-split paths (/bin,
// /sbin, /lib…) are read as their places under usr/, and its etc/ as the
// skeleton of /etc. With the files kept come the libraries they need, out of
// the same packages, and the copyright of every package that gave something.
type debian struct {
	Packages []string          `yaml:"packages"`
	Keep     []string          `yaml:"keep"`  // patterns as in path.Match; one that ends in / is a whole directory
	Drop     []string          `yaml:"drop"`  // patterns of what is not kept after all
	Place    map[string]string `yaml:"place"` // path in the layer → file in a package
	// Concatenate joins files in the order of their names: path in the layer → pattern.
	Concatenate map[string]string `yaml:"concatenate"`

	files []apt.File
}

// etcSkeleton is where a package's configuration files go.
const etcSkeleton = "usr/share/ketch/etc"

func (d *debian) inputs(ctx context.Context, b *build) ([]string, error) {
	var err error
	if d.files, err = b.apt.Resolve(ctx, d.Packages); err != nil {
		return nil, err
	}
	var inputs []string
	for _, f := range d.files {
		inputs = append(inputs, f.Name+" "+f.SHA256)
	}
	return inputs, nil
}

func (d *debian) apply(ctx context.Context, b *build, l *layer) error {
	paths, err := b.apt.Fetch(ctx, d.files)
	if err != nil {
		return err
	}
	a := newArchive()
	for i, p := range paths {
		control, err := a.unpack(p)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", path.Base(p), err)
		}
		l.record.Debian = append(l.record.Debian, inventory.Debian{
			Name: control.Package, Version: control.Version, Architecture: control.Architecture, Source: control.Source, SHA256: d.files[i].SHA256,
		})
	}
	if err := d.pick(a, l); err != nil {
		return err
	}
	for i := range l.record.Debian {
		p := &l.record.Debian[i]
		p.Files = a.given[p.Name]
	}
	return a.checkUsed(d.Packages)
}

// pick moves what the definition asks for from the packages to the layer.
func (d *debian) pick(a *archive, l *layer) error {
	if err := a.keep(d.Keep, d.Drop); err != nil {
		return err
	}
	if err := a.keepLibraries(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Place)) {
		if err := a.place(l, name, d.Place[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Concatenate)) {
		if err := a.concatenate(l, name, d.Concatenate[name]); err != nil {
			return err
		}
	}
	if err := a.keepCopyrights(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.kept)) {
		if err := a.give(l, name, a.files[name].Node, a.files[name].owner); err != nil {
			return err
		}
	}
	return nil
}
