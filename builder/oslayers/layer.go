package oslayers

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/tree"
)

// layer is a layer in the making.
type layer struct {
	name   string
	files  contents
	record record // what it is made of
}

func newLayer(d *definition) *layer {
	return &layer{name: d.name, files: newContents(), record: record{Layer: d.name}}
}

// version looks up the version of the layer's main content.
func (l *layer) version(v version) (string, error) {
	switch {
	case v.Module != "":
		return l.record.moduleVersion(v.Module)
	case v.File != "":
		f := l.files.Lookup(v.File)
		if f == nil || f.Type() != tree.TypeRegular {
			return "", fmt.Errorf("the layer has no file %s", v.File)
		}
		content, err := io.ReadAll(io.LimitReader(f.Reader(), 1<<10))
		return strings.TrimSpace(string(content)), err
	}
	return "", nil
}

// step is one section of a definition at work.
type step struct {
	name   string
	action action
}

// action adds to a layer. Its inputs are whatever decides what it adds, other
// than the definition itself.
type action interface {
	inputs(context.Context, *build) ([]string, error)
	apply(context.Context, *build, *layer) error
}

// steps are what the definition asks for, in the order it is done.
func (d *definition) steps() []step {
	var steps []step
	if d.Kernel != nil {
		steps = append(steps, step{"kernel", d.Kernel})
	}
	if len(d.EFI) > 0 {
		steps = append(steps, step{"EFI programs", efiPrograms{d.dir, d.EFI}})
	}
	if d.Debian != nil {
		steps = append(steps, step{"Debian packages", d.Debian})
	}
	steps = append(steps, step{"files", carried{d.dir, d.Copy}})
	if len(d.Go) > 0 {
		steps = append(steps, step{"Go commands", programs(d.Go)})
	}
	if d.Busybox != nil {
		steps = append(steps, step{"busybox", d.Busybox})
	}
	for _, i := range d.Images {
		steps = append(steps, step{"image " + i.Name, i})
	}
	return append(steps,
		step{"links", d.Links},
		step{"modes", modes{dirs: d.Dirs, all: d.Modes}},
		step{"record", recorded{}},
	)
}

// carried are the files that a layer carries as they are: what is under
// files/, and single files beside that. Of their modes only "executable"
// counts, as in Git: a umask must not matter.
type carried struct {
	dir    string            // of the layer
	copied map[string]string // path in the layer → file in dir
}

func (c carried) inputs(context.Context, *build) ([]string, error) {
	var inputs []string
	err := c.walk(func(name string, n *tree.Node) error {
		digest := n.Target
		if n.Type() == tree.TypeRegular {
			var err error
			if digest, err = digestOf(n.Reader()); err != nil {
				return err
			}
		}
		inputs = append(inputs, fmt.Sprintf("%s %o %s", name, n.Mode, digest))
		return nil
	})
	return inputs, err
}

func (c carried) apply(_ context.Context, _ *build, l *layer) error { return c.walk(l.files.add) }

// walk calls visit for each file in a fixed order.
func (c carried) walk(visit func(string, *tree.Node) error) error {
	root := filepath.Join(c.dir, filesDir)
	if _, err := os.Lstat(root); err == nil { // a layer may carry none
		if err := walkDir(root, visit); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.copied)) {
		file := filepath.Join(c.dir, c.copied[name])
		info, err := os.Lstat(file)
		if err != nil {
			return err
		}
		f, err := carry(file, fs.FileInfoToDirEntry(info))
		if err != nil {
			return err
		}
		if err := visit(name, f); err != nil {
			return err
		}
	}
	return nil
}

// walkDir calls visit for everything below root, in lexical order.
func walkDir(root string, visit func(string, *tree.Node) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f, err := carry(path, entry)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(name), f)
	})
}

func carry(path string, entry fs.DirEntry) (*tree.Node, error) {
	switch entry.Type() {
	case fs.ModeDir:
		return directory(executable), nil
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		return link(target), err
	case 0:
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		if info.Mode()&0o100 != 0 {
			return hosted(executable, path)
		}
		return hosted(plain, path)
	}
	return nil, fmt.Errorf("%s: a layer carries files, directories and symbolic links, not a %s", path, entry.Type())
}

func (links) inputs(context.Context, *build) ([]string, error) { return nil, nil }

func (all links) apply(_ context.Context, _ *build, l *layer) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := l.files.add(name, link(all[name])); err != nil {
			return err
		}
	}
	return nil
}

// modes makes directories, and sets permissions where the usual ones do not suit.
type modes struct{ dirs, all map[string]mode }

func (modes) inputs(context.Context, *build) ([]string, error) { return nil, nil }

func (m modes) apply(_ context.Context, _ *build, l *layer) error {
	for _, name := range slices.Sorted(maps.Keys(m.dirs)) {
		if err := l.files.add(name, directory(fs.FileMode(m.dirs[name]))); err != nil {
			return err
		}
	}
	for name, mode := range m.all {
		n := l.files.Lookup(name)
		if n == nil {
			return fmt.Errorf("set the mode of %s: the layer has no such file", name)
		}
		n.Mode = n.Type() | uint32(mode)
	}
	return nil
}
