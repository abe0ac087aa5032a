package compare

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/layout"
)

// packageKey is a package whatever its version.
type packageKey struct{ kind, name string }

// packages is what an image is made of.
type packages map[packageKey]*versions

// versions is a package in an image.
type versions struct {
	list []string // sorted
	code string   // changes when a file of the package does
	size int64    // bytes of the files known to be of it
}

func (p packages) at(kind, name string) *versions {
	key := packageKey{kind, name}
	if p[key] == nil {
		p[key] = &versions{}
	}
	return p[key]
}

func (p packages) add(kind, name, version string) *versions {
	v := p.at(kind, name)
	if !slices.Contains(v.list, version) {
		v.list = append(v.list, version)
		slices.Sort(v.list)
	}
	return v
}

// comparePackages compares the bills of materials, or, where one of the images
// has none, the inventories of the layers in both.
func (a *side) comparePackages(b *side) ([]Package, string, error) {
	x, err := a.fromSBOM()
	if err != nil {
		return nil, "", err
	}
	y, err := b.fromSBOM()
	if err != nil {
		return nil, "", err
	}
	if x != nil && y != nil {
		return x.compare(y), "sbom", nil
	}
	if x, err = a.fromInventories(); err != nil {
		return nil, "", err
	}
	if y, err = b.fromInventories(); err != nil {
		return nil, "", err
	}
	return x.compare(y), "inventories", nil
}

func (p packages) compare(q packages) []Package {
	all := maps.Clone(p)
	maps.Copy(all, q)
	keys := slices.SortedFunc(maps.Keys(all), func(a, b packageKey) int {
		return strings.Compare(a.kind+" "+a.name, b.kind+" "+b.name)
	})
	var changed []Package
	for _, key := range keys {
		c := Package{Kind: key.kind, Name: key.name}
		x, y := p[key], q[key]
		if x != nil {
			c.A, c.SizeA = x.list, x.size
		}
		if y != nil {
			c.B, c.SizeB = y.list, y.size
		}
		switch {
		case x == nil:
			c.Change = Added
		case y == nil:
			c.Change = Removed
		case !slices.Equal(x.list, y.list):
			c.Change = Changed
		case x.code != y.code || x.size != y.size:
			c.Change = Rebuilt
		default:
			continue
		}
		changed = append(changed, c)
	}
	return changed
}

// fromSBOM reads the bill of materials; it returns nil for an image without one.
func (s *side) fromSBOM() (packages, error) {
	document, _, err := image.SlotSBOM(s.slot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	found, byID := packages{}, map[string]*versions{}
	for _, p := range document.Packages {
		if kind := p.Kind(); kind != "" {
			v := found.add(kind, p.Name, p.Version)
			byID[p.SPDXID] = v
			if p.Verification != nil {
				v.code += p.Verification.Value
			}
		}
	}
	owners := map[string]*versions{}
	for name, id := range document.Owners() {
		owners[strings.TrimPrefix(name, "./")] = byID[id]
	}
	if err := s.addInventoryFiles(found, owners); err != nil {
		return nil, err
	}
	s.addSizes(owners)
	return found, nil
}

// addInventoryFiles adds owners of files that are no programs: our own layers know them.
func (s *side) addInventoryFiles(found packages, owners map[string]*versions) error {
	layers, err := s.inventories()
	for _, l := range layers {
		for _, p := range l.Debian {
			if v := found[packageKey{"deb", p.Name}]; v != nil {
				for _, name := range p.Files {
					owners[name] = v
				}
			}
		}
	}
	return err
}

// addSizes adds up the files of each package, each file once whatever its names.
func (s *side) addSizes(owners map[string]*versions) {
	counted := map[uint64]bool{}
	for _, name := range slices.Sorted(maps.Keys(owners)) {
		inUsr, ok := strings.CutPrefix(name, "usr/")
		f := s.files[inUsr]
		if ok && owners[name] != nil && f != nil && !counted[f.NID] {
			counted[f.NID] = true
			owners[name].size += f.size()
		}
	}
}

// fromInventories reads what the layers say about themselves, and image.json.
func (s *side) fromInventories() (packages, error) {
	layers, err := s.inventories()
	if err != nil {
		return nil, err
	}
	found := packages{}
	for _, l := range layers {
		for _, p := range l.Debian {
			found.add("deb", p.Name, p.Version)
		}
		for _, p := range l.Go {
			found.add("golang", "stdlib", strings.TrimPrefix(p.Go, "go"))
			for _, m := range p.Modules {
				found.add("golang", m.Path, m.Version)
			}
		}
	}
	for _, i := range s.info.Images {
		found.add("oci", i.Ref, i.Digest)
	}
	name, version, _ := strings.Cut(s.info.Kernel.Source, " ")
	found.add("deb", name, version)
	return found, nil
}

func (s *side) inventories() ([]*inventory.Layer, error) {
	dir := strings.TrimPrefix(layout.PackagesDir, "/usr/")
	names, err := fs.Glob(s.usr, dir+"/*.json")
	if err != nil {
		return nil, err
	}
	var layers []*inventory.Layer
	for _, name := range names {
		data, err := fs.ReadFile(s.usr, name)
		if err != nil {
			return nil, err
		}
		l, err := inventory.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: usr/%s: %w", s.path, name, err)
		}
		layers = append(layers, l)
	}
	return layers, nil
}
