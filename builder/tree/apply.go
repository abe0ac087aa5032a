package tree

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

// Names with a meaning of their own in a layer (image-spec, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	reservedPrefix = ".wh..wh." // markers of aufs that never were part of the specification
)

// Layer is an uncompressed layer, ready to be applied.
type Layer struct {
	Origin *Origin     // its own: no two layers share one
	Blob   io.ReaderAt // must stay readable as long as the tree's contents are
	Size   int64
}

// Apply applies a layer on top of the tree (image-spec v1.1, "Applying
// Changesets"). There are two views: the lower one, which is the tree as it was
// before the layer, and what the layer itself adds.
//
//  1. Whiteouts take their effect on the lower view, all of them before anything
//     is added, wherever they stand in the archive. They are about the layers of
//     their own image: what other images have given stays, see Whiteouts.
//  2. The other entries are extracted over what is left, in the order of the
//     archive, like a regular tar archive: a later entry of a name wins.
//
// After an error the tree is of no use.
func (t *Tree) Apply(l Layer) error {
	if l.Origin == nil {
		l.Origin = &Origin{}
	}
	t.begin(l.Origin.Image)
	a := application{change{t, l.Origin}, l.Blob}
	if err := a.apply(l); err != nil {
		return fmt.Errorf("%s: %w", l.Origin, err)
	}
	return nil
}

// application is a layer being applied.
type application struct {
	change
	blob io.ReaderAt
}

func (a application) apply(l Layer) error {
	hide, add, err := a.read(tarfile.NewReader(l.Blob, l.Size))
	if err != nil {
		return err
	}
	if err := a.hide(hide, add); err != nil {
		return err
	}
	for _, e := range add {
		if err := a.add(e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// entry is an entry of the archive under its one name.
type entry struct {
	*tarfile.Entry
	name string
}

// read sorts the entries of the archive into whiteouts and additions.
func (a application) read(r *tarfile.Reader) (hide, add []entry, err error) {
	for {
		header, err := r.Next()
		if err == io.EOF {
			return hide, add, nil
		}
		if err != nil {
			return nil, nil, err
		}
		name, err := clean(header.Name)
		if err != nil {
			return nil, nil, err
		}
		e := entry{header, name}
		if limit := a.t.policy.maxNodes(); len(hide)+len(add) >= limit {
			return nil, nil, fmt.Errorf("more than %d entries", limit)
		}
		isWhiteout, err := e.whiteout()
		if err != nil {
			return nil, nil, err
		}
		if isWhiteout {
			hide = append(hide, e)
		} else {
			add = append(add, e)
		}
	}
}

// whiteout says whether an entry is a whiteout, and checks that it may be one.
func (e entry) whiteout() (bool, error) {
	dir, base := path.Split(e.name)
	for part := range strings.SplitSeq(dir, "/") {
		if strings.HasPrefix(part, whiteoutPrefix) {
			return false, fmt.Errorf("%s: a directory cannot be a whiteout", e.name)
		}
	}
	hidden, ok := strings.CutPrefix(base, whiteoutPrefix)
	if !ok {
		return false, nil
	}
	switch {
	case hidden == "", hidden == ".", hidden == "..":
		return false, fmt.Errorf("%s: a whiteout of no file", e.name)
	case base != opaqueMarker && strings.HasPrefix(base, reservedPrefix):
		return false, fmt.Errorf("%s: a reserved name", e.name)
	case e.Type != tarfile.TypeRegular && e.Type != tarfile.TypeLink: // aufs links its whiteouts to one another
		return false, fmt.Errorf("%s: a whiteout that is not a regular file", e.name)
	}
	return true, nil
}

// hide takes what the whiteouts name out of the lower view, as far as it is of
// their own image. All of them are looked up before the first one takes effect,
// so that their order is of no consequence. A whiteout of nothing is allowed.
func (a application) hide(whiteouts, additions []entry) error {
	own := map[string]entry{}
	if len(whiteouts) > 0 {
		for _, e := range additions {
			own[e.name] = e
		}
	}
	var gone []string
	var opaque []entry
	for _, e := range whiteouts {
		dir, base := path.Split(e.name)
		dir = path.Clean(dir)
		if base == opaqueMarker {
			if _, real, err := a.t.find(dir, false); err == nil {
				opaque = append(opaque, entry{e.Entry, real})
			}
			continue
		}
		parent, real, err := a.t.find(dir, true)
		if err == nil && parent.IsDir() && (real == dir || !a.replacesLink(dir, own)) {
			gone = append(gone, path.Join(real, strings.TrimPrefix(base, whiteoutPrefix)))
		}
	}
	for _, name := range gone {
		if err := a.whiteOut(name, Step{Action: Removed, Origin: a.by}); err != nil {
			return err
		}
	}
	for _, e := range opaque {
		if err := a.hideChildren(e); err != nil {
			return fmt.Errorf("%s: %w", path.Join(e.name, opaqueMarker), err)
		}
	}
	return nil
}

// replacesLink says whether a symbolic link on the way to dir is something else
// in the layer itself. A whiteout below it is about the name that the layer
// replaces, and nothing where the lower link leads is meant.
func (a application) replacesLink(dir string, own map[string]entry) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		e, ok := own[dir]
		n, _, err := a.t.find(dir, false)
		if !ok || err != nil || n.Type() != TypeSymlink {
			continue
		}
		if e.Type != tarfile.TypeDir || a.t.policy.Links != LinksFollow {
			return true
		}
	}
	return false
}

// hideChildren empties the directory e.name, which has an opaque marker. The
// marker says that the layer has a directory there: what is no directory in the
// lower view makes way for one. Nothing behind a symbolic link is ever hidden,
// because whiteouts act on names.
func (a application) hideChildren(e entry) error {
	n, _, err := a.t.find(e.name, false)
	if err != nil {
		return nil // whited out as well
	}
	if n.IsDir() {
		for _, child := range n.Names() {
			if err := a.uncover(n, path.Join(e.name, child), Step{Action: Hidden, Origin: a.by, Other: e.name}); err != nil {
				return err
			}
		}
		return nil
	}
	parent := a.t.cursor()
	if _, leaf, err := parent.walk(split(path.Dir(e.name)), false); err != nil || leaf != "" {
		return err
	}
	if n.Type() == TypeSymlink {
		followed, err := a.directoryOverLink(parent, path.Base(e.name), n)
		if err != nil || followed {
			return err
		}
	}
	return a.imply(parent, path.Base(e.name), e.Mtime)
}

// add extracts one entry.
func (a application) add(e entry) error {
	a.dropXattrs(e)
	if err := e.check(); err != nil {
		return err
	}
	if e.name == "." {
		return a.describeRoot(e)
	}
	parent, err := a.parent(path.Dir(e.name), e.Mtime)
	if err != nil {
		return err
	}
	base := path.Base(e.name)
	switch e.Type {
	case tarfile.TypeDir:
		return a.addDirectory(parent, base, e)
	case tarfile.TypeLink:
		return a.addLink(parent, base, e)
	case tarfile.TypeSymlink:
		return a.addSymlink(parent, base, e)
	}
	return a.place(parent, base, a.node(e), Step{Action: Added, Origin: a.by})
}

func (a application) describeRoot(e entry) error {
	if e.Type != tarfile.TypeDir {
		return fmt.Errorf("the root must be a directory")
	}
	a.describe(".", a.t.root, e)
	return nil
}

// describe gives a directory that is there the attributes of an entry.
func (a application) describe(name string, dir *Node, e entry) {
	a.covers(name, dir.attributes())
	a.t.record(name, dir, Step{Action: Described, Origin: a.by})
	children := dir.Children
	*dir = *a.node(e)
	dir.Children = children
}

// addDirectory merges a directory with the one that is there, or puts it in the
// place of anything else. Over another layer's link to a directory it is the
// usr-merge conflict.
func (a application) addDirectory(parent *cursor, base string, e entry) error {
	old := parent.dir().Children[base]
	if old != nil && old.IsDir() {
		a.describe(parent.name(base), old, e)
		return nil
	}
	if old != nil && old.Type() == TypeSymlink && old.Origin != a.by {
		followed, err := a.directoryOverLink(parent, base, old)
		if err != nil || followed {
			return err
		}
	}
	return a.place(parent, base, a.node(e), Step{Action: Added, Origin: a.by})
}

// addSymlink adds a symbolic link. Over another image's directory that holds
// files it is the usr-merge conflict, the other way round.
func (a application) addSymlink(parent *cursor, base string, e entry) error {
	link := a.node(e)
	if old := parent.dir().Children[base]; old != nil && old.IsDir() {
		followed, err := a.linkOverDirectory(parent, base, link, old)
		if err != nil || followed {
			return err
		}
	}
	return a.place(parent, base, link, Step{Action: Added, Origin: a.by})
}

// addLink makes a hard link to the node that its target names now. The target
// of a link may itself be a symbolic link: the link is to that.
func (a application) addLink(parent *cursor, base string, e entry) error {
	target, real, err := a.t.find(e.Link, false)
	if err != nil {
		return a.danglingLink(e)
	}
	if target.IsDir() {
		return fmt.Errorf("hard link to the directory %s", real)
	}
	if parent.dir().Children[base] == target {
		return nil
	}
	return a.place(parent, base, target, Step{Action: Linked, Origin: a.by, Other: real})
}

// node makes a node of an entry that has been checked.
func (a application) node(e entry) *Node {
	n := &Node{
		Mode:   fileTypes[e.Type] | uint32(e.Mode)&0o7777,
		UID:    uint32(e.UID),
		GID:    uint32(e.GID),
		Mtime:  e.Mtime,
		Xattrs: e.xattrs(),
		Size:   e.Size,
		Origin: a.by,
	}
	switch e.Type {
	case tarfile.TypeDir:
		n.Children = map[string]*Node{}
	case tarfile.TypeSymlink:
		n.Target = e.Link
	case tarfile.TypeChar, tarfile.TypeBlock:
		n.Rdev = Device(uint32(e.Major), uint32(e.Minor))
	case tarfile.TypeRegular:
		n.content = content{a.blob, slices.Clip(e.Pieces)}
	}
	return n
}
