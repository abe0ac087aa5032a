package oslayers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/ketch-os/ketch/builder/oslayers/gocmd"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/sbom/licence"
)

// addLicences finds the licence of each module that the layer's programs are
// made of, and of the main module, which the layer's own files belong to.
func (r *record) addLicences(ctx context.Context, b *build) error {
	own, err := b.own()
	if err != nil {
		return err
	}
	r.Own = own
	if err := r.readLicences(ctx, b); err != nil {
		return err
	}
	slices.SortFunc(r.Modules, func(a, b inventory.Module) int {
		return strings.Compare(a.Path+" "+a.Version, b.Path+" "+b.Version)
	})
	return nil
}

func (r *record) readLicences(ctx context.Context, b *build) error {
	var modules []gocmd.Module
	for _, m := range r.Modules {
		modules = append(modules, gocmd.Module(m.ModuleVersion))
	}
	dirs, err := b.compiler.Sources(ctx, modules)
	if err != nil {
		return err
	}
	for i := range r.Modules {
		if err := setLicence(&r.Modules[i], dirs[i]); err != nil {
			return fmt.Errorf("%s %s: %w", r.Modules[i].Path, r.Modules[i].Version, err)
		}
	}
	return nil
}

// own is the main module.
func (b *build) own() (*inventory.Module, error) {
	gomod, err := os.ReadFile(filepath.Join(b.module, "go.mod"))
	if err != nil {
		return nil, err
	}
	m := &inventory.Module{ModuleVersion: inventory.ModuleVersion{Path: modfile.ModulePath(gomod), Version: "(devel)"}}
	return m, setLicence(m, b.module)
}

func setLicence(m *inventory.Module, dir string) error {
	files, err := licence.Module(os.DirFS(dir))
	m.Licence, m.SHA256 = files.Licence, files.SHA256
	return err
}
