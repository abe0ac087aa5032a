package oslayers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ketch-os/ketch/builder/sbom/dpkg"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/sbom/licence"
)

// host is the machine that builds, as far as its packages go into a layer.
type host struct{}

func (host) ReadFile(name string) ([]byte, error) { return os.ReadFile("/" + name) }

func (host) Names(dir string) []string {
	entries, err := os.ReadDir("/" + dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// archives are the host's packages that have the C archives a program is linked
// with. A host that is no Debian does not tell.
func (b *build) archives(ctx context.Context, libraries []string) ([]inventory.Debian, error) {
	if len(libraries) == 0 {
		return nil, nil
	}
	packages, err := dpkg.Read(host{})
	if err != nil {
		return nil, fmt.Errorf("find the packages of %q: %w", libraries, err)
	}
	var found []inventory.Debian
	for _, library := range libraries {
		path, err := b.compiler.Library(ctx, library)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(packages, func(p dpkg.Package) bool { return slices.Contains(p.Files, filepath.Clean(path)[1:]) })
		if i >= 0 {
			found = append(found, hostPackage(packages[i]))
		}
	}
	return found, nil
}

// hostPackage describes a package of the host, whose copyright file stays there.
func hostPackage(p dpkg.Package) inventory.Debian {
	d := inventory.Debian{Name: p.Name, Version: p.Version, Architecture: p.Architecture, Source: p.Source}
	text, err := os.ReadFile("/usr/share/doc/" + p.Name + "/copyright")
	if err != nil {
		return d // an installation without documentation
	}
	d.Copyright = fmt.Sprintf("%x", sha256.Sum256(text))
	if declared, err := licence.Debian(string(text)); err == nil && len(declared.Refs) == 0 {
		d.Licence = declared.Expression
	}
	return d
}
