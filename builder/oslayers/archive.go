package oslayers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/oslayers/deb"
	"github.com/ketch-os/ketch/builder/oslayers/shlib"
	"github.com/ketch-os/ketch/builder/tree"
)

// packaged is a file of a Debian package.
type packaged struct {
	*tree.Node
	owner string // the package
	used  bool   // it, or its content, is in the layer
}

// archive is the union of some Debian packages.
type archive struct {
	files map[string]*packaged // by path in the layer, directories left out
	kept  map[string]bool      // the paths that go into the layer
	given map[string][]string  // package → what the layer has from it, by its path there
}

func newArchive() *archive {
	return &archive{files: map[string]*packaged{}, kept: map[string]bool{}, given: map[string][]string{}}
}

// give puts a file into the layer and notes the packages it is from.
func (a *archive) give(l *layer, name string, n *tree.Node, owners ...string) error {
	for _, owner := range owners {
		a.given[owner] = append(a.given[owner], name)
	}
	return l.files.add(name, n)
}

// maxUnpacked bounds what one package may unpack to, in memory.
const maxUnpacked = 256 << 20

func (a *archive) unpack(file string) (deb.Control, error) {
	f, err := os.Open(file)
	if err != nil {
		return deb.Control{}, err
	}
	defer f.Close()
	var entries []*packaged
	var total int64
	control, err := deb.Read(f, func(h *tar.Header, r io.Reader) error {
		if total += h.Size; total > maxUnpacked {
			return fmt.Errorf("it unpacks to more than %d bytes", maxUnpacked)
		}
		p, err := a.entry(h, r)
		if p != nil {
			entries = append(entries, p)
		}
		return err
	})
	if err != nil {
		return control, err
	}
	if control.Architecture != "amd64" && control.Architecture != "all" {
		return control, fmt.Errorf("its architecture is %s, not amd64", control.Architecture)
	}
	for _, p := range entries {
		p.owner = control.Package
	}
	return control, nil
}

// entry stores one entry of a package. Directories follow from the files in them.
func (a *archive) entry(h *tar.Header, r io.Reader) (*packaged, error) {
	name := home(h.Name)
	p := &packaged{}
	switch h.Typeflag {
	case tar.TypeDir:
		return nil, nil
	case tar.TypeSymlink:
		p.Node = link(h.Linkname)
	case tar.TypeLink:
		target := a.files[home(h.Linkname)]
		if target == nil {
			return nil, fmt.Errorf("%s: hard link to %s, which is not there", h.Name, h.Linkname)
		}
		p.Node = target.Node
	case tar.TypeReg:
		var content bytes.Buffer
		if _, err := io.Copy(&content, r); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		p.Node = regular(fs.FileMode(h.Mode)&0o7777, content.Bytes())
	default:
		return nil, fmt.Errorf("%s: an entry of type %q", h.Name, h.Typeflag)
	}
	if a.files[name] != nil {
		return nil, fmt.Errorf("%s: the packages have it twice", h.Name)
	}
	a.files[name] = p
	return p, nil
}

// home maps a path in a package, or an absolute path of the running system, to
// its place in the layer.
func home(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	switch first, rest, _ := strings.Cut(name, "/"); first {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return "usr/" + name
	case "etc":
		return etcSkeleton + "/" + rest
	}
	return name
}

// keep marks the files that match; a pattern that matches nothing is an error,
// because the package has changed under it.
func (a *archive) keep(patterns, drop []string) error {
	for _, pattern := range patterns {
		names, err := a.match(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			if dropped, err := matchAny(drop, name); err != nil || dropped {
				if err != nil {
					return err
				}
				continue
			}
			if err := a.keepFile(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepFile marks a file, and where it is a link what it leads to.
func (a *archive) keepFile(name string) error {
	for hops := 0; ; hops++ {
		p := a.files[name]
		if p == nil {
			return fmt.Errorf("keep %s: no package has it", name)
		}
		if hops > maxLinks {
			return fmt.Errorf("keep %s: more than %d links in a row", name, maxLinks)
		}
		a.kept[name], p.used = true, true
		if p.Type() != tree.TypeSymlink {
			return nil
		}
		name = follow(name, p.Target)
	}
}

// maxLinks is how long a chain of symbolic links may be, as in Linux.
const maxLinks = 40

// follow is where a symbolic link at name leads.
func follow(name, target string) string {
	if strings.HasPrefix(target, "/") {
		return home(target)
	}
	return home(path.Join(path.Dir(name), target))
}

func (a *archive) match(pattern string) ([]string, error) {
	var names []string
	for name := range a.files {
		matched, err := match(pattern, name)
		if err != nil {
			return nil, err
		}
		if matched {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("keep %s: no package has anything that matches", pattern)
	}
	slices.Sort(names)
	return names, nil
}

func match(pattern, name string) (bool, error) {
	if strings.HasSuffix(pattern, "/") {
		return strings.HasPrefix(name, pattern), nil
	}
	matched, err := path.Match(pattern, name)
	if err != nil {
		return false, fmt.Errorf("pattern %s: %w", pattern, err)
	}
	return matched, nil
}

func matchAny(patterns []string, name string) (bool, error) {
	for _, pattern := range patterns {
		if matched, err := match(pattern, name); err != nil || matched {
			return matched, err
		}
	}
	return false, nil
}

// read is shlib.Open over the packages.
func (a *archive) read(name string) ([]byte, bool, error) {
	for range maxLinks {
		p := a.files[name]
		if p == nil {
			return nil, false, nil
		}
		if p.Type() != tree.TypeSymlink {
			content, err := io.ReadAll(p.Reader())
			return content, true, err
		}
		name = follow(name, p.Target)
	}
	return nil, false, fmt.Errorf("read %s: more than %d links in a row", name, maxLinks)
}

func (a *archive) keepLibraries() error {
	libraries, err := shlib.Closure(slices.Sorted(maps.Keys(a.kept)), a.read)
	if err != nil {
		return err
	}
	for _, library := range libraries {
		if err := a.keepFile(library); err != nil {
			return err
		}
	}
	return nil
}

// place puts one file of a package at another path.
func (a *archive) place(l *layer, name, from string) error {
	content, ok, err := a.read(from)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("place %s: no package has %s", name, from)
	}
	a.files[from].used = true
	return a.give(l, name, regular(plain, content), a.files[from].owner)
}

// concatenate joins text files, each ended by a line feed.
func (a *archive) concatenate(l *layer, name, pattern string) error {
	names, err := a.match(pattern)
	if err != nil {
		return err
	}
	var joined bytes.Buffer
	owners := map[string]bool{}
	for _, from := range names {
		content, ok, err := a.read(from)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("concatenate %s: %s leads nowhere", name, from)
		}
		a.files[from].used = true
		owners[a.files[from].owner] = true
		joined.Write(content)
		if !bytes.HasSuffix(content, []byte("\n")) {
			joined.WriteByte('\n')
		}
	}
	return a.give(l, name, regular(plain, joined.Bytes()), slices.Sorted(maps.Keys(owners))...)
}

// owners are the packages that gave something to the layer.
func (a *archive) owners() map[string]bool {
	owners := map[string]bool{}
	for _, p := range a.files {
		if p.used {
			owners[p.owner] = true
		}
	}
	return owners
}

// keepCopyrights keeps the copyright file of every package in use (Debian
// Policy 12.5: each has one, and no link leads to it but to its directory).
func (a *archive) keepCopyrights() error {
	for _, owner := range slices.Sorted(maps.Keys(a.owners())) {
		dir := "usr/share/doc/" + owner
		if p := a.files[dir]; p != nil && p.Type() == tree.TypeSymlink {
			a.kept[dir] = true
			dir = follow(dir, p.Target)
		}
		if err := a.keepFile(dir + "/copyright"); err != nil {
			return err
		}
	}
	return nil
}

// checkUsed finds packages that are fetched for nothing.
func (a *archive) checkUsed(packages []string) error {
	owners := a.owners()
	var errs []error
	for _, name := range packages {
		if !owners[name] {
			errs = append(errs, fmt.Errorf("package %s gives nothing to the layer", name))
		}
	}
	return errors.Join(errs...)
}
