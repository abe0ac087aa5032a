package fat

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxFileSize is what the size field of an entry can say.
const maxFileSize = 1<<32 - 1

// item is a file or directory that Write is going to make.
type item struct {
	name     string
	path     string
	file     *File // nil for a directory
	parent   *item // nil for the root
	children []*item
	byName   map[string]*item // children by folded name
	short    shortName
	first    uint32 // first cluster; 0 for an empty file
	clusters int64
}

func (it *item) isDir() bool { return it.file == nil }

// plan is the content of a volume, each item with its place.
type plan struct {
	geometry
	root  *item
	dirs  []*item // the root first, parents before children
	files []*item
	used  int64 // clusters
}

// newPlan names everything, then gives everything its clusters.
func newPlan(o Options) (*plan, error) {
	root, err := newTree(o.Files)
	if err != nil {
		return nil, err
	}
	p := &plan{root: root}
	if p.geometry, err = newGeometry(o.Size, o.SectorSize); err != nil {
		return nil, err
	}
	if err := p.collect(root); err != nil {
		return nil, err
	}
	return p, p.allocate(o.Label != "")
}

// newTree makes the tree of names.
func newTree(files []File) (*item, error) {
	root := &item{byName: make(map[string]*item)}
	for i := range files {
		if err := root.add(&files[i]); err != nil {
			return nil, fmt.Errorf("file %s: %w", files[i].Path, err)
		}
	}
	return root, nil
}

// add puts a file, or the directories of a path that ends in a slash, below the root.
func (it *item) add(f *File) error {
	if size := f.size(); size < 0 || size > maxFileSize {
		return fmt.Errorf("%d bytes are more than the %d of the largest file FAT32 can hold", size, int64(maxFileSize))
	}
	names := strings.Split(f.Path, "/")
	base := names[len(names)-1]
	dir := it
	for _, name := range names[:len(names)-1] {
		var err error
		if dir, err = dir.subdirectory(name); err != nil {
			return err
		}
	}
	switch {
	case base != "":
		return dir.attach(&item{name: base, file: f})
	case dir == it:
		return errors.New("the path is empty")
	case f.size() != 0:
		return errors.New("a directory has no content")
	}
	return nil
}

// subdirectory returns the directory of that name, which it makes if need be.
func (it *item) subdirectory(name string) (*item, error) {
	existing := it.byName[fold(name)]
	switch {
	case existing == nil:
		dir := &item{name: name, byName: make(map[string]*item)}
		return dir, it.attach(dir)
	case !existing.isDir():
		return nil, fmt.Errorf("%s is a file, not a directory", existing.path)
	case existing.name != name:
		return nil, fmt.Errorf("directory %s is also written %s: FAT tells no case", existing.path, name)
	}
	return existing, nil
}

// attach adds a child whose name is legal and new.
func (it *item) attach(child *item) error {
	if err := checkName(child.name); err != nil {
		return err
	}
	if existing := it.byName[fold(child.name)]; existing != nil {
		return fmt.Errorf("the name is already taken by %s", existing.path)
	}
	child.parent = it
	child.path = strings.TrimPrefix(it.path+"/"+child.name, "/")
	if len(child.path) >= maxPath {
		return fmt.Errorf("the path is longer than %d bytes", maxPath-1)
	}
	it.byName[fold(child.name)] = child
	it.children = append(it.children, child)
	return nil
}

// collect sorts a directory, gives its children short names, and lists the tree.
func (p *plan) collect(dir *item) error {
	slices.SortFunc(dir.children, func(a, b *item) int { return cmp.Compare(a.name, b.name) })
	long := make([]string, len(dir.children))
	for i, child := range dir.children {
		long[i] = child.name
	}
	short, err := shortNames(long)
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir.path, err)
	}
	p.dirs = append(p.dirs, dir)
	for i, child := range dir.children {
		child.short = short[i]
		if !child.isDir() {
			p.files = append(p.files, child)
		} else if err := p.collect(child); err != nil {
			return err
		}
	}
	return nil
}

// allocate places every directory, then every file, one behind the other.
func (p *plan) allocate(labelled bool) error {
	for _, dir := range p.dirs {
		entries := dir.entries(labelled)
		if entries > maxDirEntries {
			return fmt.Errorf("directory %s: its names take %d entries, at most %d fit", dir.path, entries, maxDirEntries)
		}
		p.place(dir, max(1, p.clustersFor(int64(entries)*entrySize)))
	}
	for _, it := range p.files {
		if n := p.clustersFor(it.file.size()); n > 0 {
			p.place(it, n)
		}
	}
	if p.used > p.clusters {
		return &SpaceError{Size: p.size(), Missing: (p.used - p.clusters) * p.cluster}
	}
	return nil
}

func (p *plan) place(it *item, clusters int64) {
	it.first, it.clusters = uint32(rootCluster+p.used), clusters
	p.used += clusters
}

// entries counts the 32-byte entries that a directory takes.
func (it *item) entries(labelled bool) int {
	n := 0
	switch {
	case it.parent != nil:
		n = 2 // . and ..
	case labelled:
		n = 1
	}
	for _, child := range it.children {
		n++
		if needsLong(child.name, child.short) {
			n += len(longEntries(child.name, child.short))
		}
	}
	return n
}
