package sbom

import (
	"cmp"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/builder/sbom/carried"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/sbom/language"
	"github.com/ketch-os/ketch/builder/sbom/rpm"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/layout"
)

// addCarried adds the container images that the image carries for its
// workloads, and what is in them.
func (d *draft) addCarried() error {
	dir := d.Tree.Follow(layout.ImagesDir[1:])
	if dir == nil || !dir.IsDir() {
		return nil
	}
	budget := limit.New(cmp.Or(d.MaxSize, limit.Default), "unpack the layers of the images for workloads")
	for _, base := range dir.Names() {
		name := layout.ImagesDir[1:] + "/" + base
		own := d.ownModule(dir.Children[base])
		images, err := carried.Read(d.Tree, name, os.TempDir(), budget)
		if large := (*limit.Error)(nil); errors.As(err, &large) {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err != nil {
			d.addUnread(name, err)
			continue
		}
		for _, image := range images {
			err := errors.Join(d.addCarriedImage(name, image, own), image.Close())
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// addUnread lists a file among the images that is none, or a damaged one. The
// machine refuses it; a bill of materials says that nobody knows what is in it.
func (d *draft) addUnread(name string, err error) {
	d.component("oci", &Package{
		Name: name, Purpose: container, LicenceDeclared: noAssertion, Comment: fmt.Sprintf("cannot be looked into: %v", err),
	})
}

func (d *draft) addCarriedImage(name string, image *carried.Image, own *inventory.Module) error {
	called := image.Name
	if called == "" {
		called = name
	}
	p := d.component("oci", &Package{
		Name: called, Version: image.Digest, Purpose: container, LicenceDeclared: noAssertion, Comment: "carried as /" + name,
		ExternalRefs: purl(ociURL(called, image.Digest)),
	})
	return errors.Join(
		d.addInstalled(p, image.Tree), d.addPrograms(p, image.Tree, own), d.addLanguages(p, image.Tree),
	)
}

// addInstalled adds the packages that a carried image's databases list, as far
// as any of their files is there.
func (d *draft) addInstalled(image *Package, t *tree.Tree) error {
	db, err := readDatabases(wholeTree{t})
	if unread := (*rpm.UnreadableError)(nil); errors.As(err, &unread) {
		image.Comment += "; its packages cannot be listed: " + unread.Error()
		return nil
	}
	if err != nil || db == nil {
		return err
	}
	from := licences{t, d.licences, d.licence.known}
	for _, p := range db.packages {
		if p.FilesRecorded && len(p.nodes) == 0 {
			continue
		}
		added, err := d.installed(from, db.Distribution, p)
		if err != nil {
			return err
		}
		d.relate(image.SPDXID, Contains, added.SPDXID)
	}
	return nil
}

// addPrograms adds the modules that a carried image's Go programs are made of. own
// is the module of the layer that carries the image, nil in other people's.
func (d *draft) addPrograms(image *Package, t *tree.Tree, own *inventory.Module) error {
	return t.Walk(func(_ string, n *tree.Node) error {
		if n.Type() != tree.TypeRegular {
			return nil
		}
		if kind, err := fileType(n); kind != "BINARY" {
			return err
		}
		info, err := buildinfo.Read(n.Reader())
		if err != nil { // no Go program
			return nil
		}
		d.relate(image.SPDXID, Contains, d.standardLibrary(info.GoVersion).SPDXID)
		for _, m := range linked(info) {
			d.relate(image.SPDXID, Contains, d.carriedModule(m, own).SPDXID)
		}
		return nil
	})
}

// carriedModule is a module of a carried image's program. The own module of the
// layer that carries the image has no version and no sum: its licence is known from
// that layer's inventory.
func (d *draft) carriedModule(m *debug.Module, own *inventory.Module) *Package {
	if own != nil && m.Sum == "" && m.Path == own.Path && m.Version == own.Version {
		return d.own(own)
	}
	return d.goModule(m)
}

// linked are the modules of a Go program, its own among them.
func linked(info *debug.BuildInfo) []*debug.Module {
	var modules []*debug.Module
	if info.Main.Path != "" {
		modules = append(modules, &info.Main)
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		modules = append(modules, m)
	}
	return modules
}

// addLanguages adds the packages of npm, Python and Java in a tree.
func (d *draft) addLanguages(in *Package, t *tree.Tree) error {
	packages, err := language.Find(t)
	for _, p := range packages {
		name := p.Name
		if p.Group != "" {
			name = p.Group + "/" + p.Name
		}
		made := &Package{Name: name, Version: p.Version, LicenceDeclared: stated(p.Licence), ExternalRefs: purl(languageURL(p))}
		if made.LicenceDeclared == noAssertion && p.Licence != "" {
			made.LicenceComments = "the package states: " + p.Licence
		}
		d.relate(in.SPDXID, Contains, d.add(p.Kind, made).SPDXID)
	}
	return err
}
