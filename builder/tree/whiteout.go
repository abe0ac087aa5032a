package tree

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/ketch-os/ketch/builder/hint"
)

// Whiteout is a whiteout that names a file of another image. It is about the
// lower layers of its own image, as the layers were when it was made: the other
// image's file stays in the tree.
type Whiteout struct {
	Path string
	Of   *Origin // who has the file
	By   *Origin // who has the whiteout
}

func (w *Whiteout) Error() string {
	return fmt.Sprintf("a whiteout of %s, which is in %s", w.Path, w.Of)
}

// Hint says what can be done.
func (w *Whiteout) Hint() string {
	return "a whiteout is about the lower layers of its own image, and the other image's file would stay: " +
		"take overwrites: error out of the definition's policy, and name the file under drop: if it is to go"
}

// Whiteouts returns the whiteouts that named files of other images, in the order
// in which they were met. Files that another image has replaced since are not
// among them.
func (t *Tree) Whiteouts() (kept []Whiteout) {
	for _, w := range t.whiteouts {
		n, name, err := t.find(w.Path, false)
		if err == nil && t.owner(name, n) == w.Of {
			kept = append(kept, w)
		}
	}
	return kept
}

// begin forgets what images below the one before had: the layers of another
// image start.
func (t *Tree) begin(image string) {
	if t.image != image {
		t.image, t.lower = image, map[string]*Node{}
	}
}

// covers notes that the layers' image puts a file of its own in the place of
// old: a later whiteout of the same image is about that file, and not about old.
func (c change) covers(name string, old *Node) {
	if c.by.Image == "" {
		return
	}
	if n := c.others(name, old); n != nil {
		c.t.lower[name] = n
	}
}

// others returns what other images have of the file n, or nil.
func (c change) others(name string, n *Node) *Node {
	own, lower := c.t.owner(name, n).Image == c.by.Image, c.t.lower[name]
	switch {
	case !own && !n.IsDir():
		return n
	case !n.IsDir(), lower != nil && !lower.IsDir():
		return lower
	}
	dir := n.attributes()
	if lower != nil {
		dir = lower.attributes()
	}
	for base, child := range n.Children {
		if other := c.others(path.Join(name, base), child); other != nil {
			dir.Children[base] = other
		}
	}
	if own && lower == nil && len(dir.Children) == 0 {
		return nil
	}
	return dir
}

// owner tells who gave the file n its name: a hard link may be of another image
// than the file.
func (t *Tree) owner(name string, n *Node) *Origin {
	for _, s := range slices.Backward(t.trails[name]) {
		switch s.Action {
		case Linked:
			return s.Origin
		case Moved, Received, Followed, Kept:
		default:
			return n.Origin
		}
	}
	return n.Origin
}

// whiteOut takes the own image's part of a name, and of what is below it, out
// of the tree. A name whose parents are no directories is gone already.
func (a application) whiteOut(name string, s Step) error {
	c := a.t.cursor()
	if _, leaf, err := c.walk(split(path.Dir(name)), false); err != nil || leaf != "" {
		return nil
	}
	if c.dir().Children[path.Base(name)] == nil {
		return nil
	}
	return a.uncover(c.dir(), name, s)
}

// uncover takes the own image's part of the file called name out of the
// directory dir, and leaves there what other images have under the name.
func (a application) uncover(dir *Node, name string, s Step) error {
	base := path.Base(name)
	n, lower := dir.Children[base], a.t.lower[name]
	own := a.t.owner(name, n).Image == a.by.Image
	if n.IsDir() {
		below := Step{Action: Removed, Origin: a.by, Other: name}
		for _, child := range n.Names() {
			if err := a.uncover(n, path.Join(name, child), below); err != nil {
				return err
			}
		}
		if len(n.Children) > 0 {
			n.redescribe(lower)
			return nil
		}
	}
	if !own {
		return a.keep(name, n)
	}
	a.t.forget(name, n, s)
	delete(dir.Children, base)
	if lower == nil {
		return nil
	}
	delete(a.t.lower, name)
	dir.Children[base] = lower
	if err := a.t.count(lower); err != nil {
		return err
	}
	return a.keep(name, lower)
}

// keep reports that a file of another image outlives a whiteout.
func (a application) keep(name string, n *Node) error {
	w := Whiteout{Path: name, Of: a.t.owner(name, n), By: a.by}
	if a.t.policy.Overwrites == OverwritesError {
		return &w
	}
	a.t.whiteouts = append(a.t.whiteouts, w)
	a.t.record(name, n, Step{Action: Kept, Origin: a.by})
	return nil
}

// redescribe gives a directory back the attributes that another image's has.
func (n *Node) redescribe(lower *Node) {
	if lower == nil || !lower.IsDir() {
		return
	}
	children := n.Children
	*n = *lower
	n.Children = children
}

// attributes returns a directory with the attributes of n, and nothing in it.
func (n *Node) attributes() *Node {
	dir := *n
	dir.Xattrs, dir.Children = maps.Clone(n.Xattrs), map[string]*Node{}
	return &dir
}

// mayOverwrite applies the policy for overwrites between images. The builder
// itself, which has no image, may overwrite everything.
func (c change) mayOverwrite(name string, old *Node) error {
	if c.t.policy.Overwrites != OverwritesError || c.by.Image == "" {
		return nil
	}
	owner := c.t.owner(name, old)
	if old.IsDir() {
		if at, file := c.t.foreign(name, old, c.by.Image); file != nil {
			name, owner = at, c.t.owner(at, file)
		}
	}
	if owner.Image == c.by.Image {
		return nil
	}
	return hint.Add(&Overwrite{name, owner}, "take overwrites: error out of the definition's policy, or the file out of one of the images")
}
