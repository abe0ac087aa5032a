package tree

import (
	"fmt"
	"path"
	"slices"
)

// Collision is two files that a rule would give the same name.
type Collision struct {
	From, To     string
	Moved, There *Origin
}

func (e *Collision) Error() string {
	return fmt.Sprintf("%s of %s and %s of %s are the same file of the image", e.From, e.Moved, e.To, e.There)
}

// move gives the directory src of the root, called from, the name to, or merges
// it with the directory that has it.
func (c change) move(from string, src *Node, to string) error {
	parent, err := c.parent(path.Dir(to), src.Mtime)
	if err != nil {
		return err
	}
	delete(c.t.root.Children, from)
	if base := path.Base(to); parent.dir().Children[base] == nil {
		parent.dir().Children[base] = src
		c.renamed(from, to, src)
		return nil
	}
	target, err := c.parent(to, src.Mtime)
	if err != nil {
		return err
	}
	c.t.record(from, src, Step{Action: Moved, Origin: c.by, Other: to})
	return c.merge(from, src, target)
}

// Hint says what can be done.
func (e *Collision) Hint() string {
	return fmt.Sprintf("give up one of the two: drop %s or %s in the definition", e.From, e.To)
}

// merge moves the content of the directory src, which was called from and is no
// longer in the tree, into the cursor's directory. Two directories of one name
// become one with the attributes of the one that was there; two equal symbolic
// links become one; anything else of the same name is an error.
func (c change) merge(from string, src *Node, to *cursor) error {
	c.t.nodes--
	for _, base := range src.Names() {
		moved, there := src.Children[base], to.dir().Children[base]
		oldName, newName := path.Join(from, base), to.name(base)
		if there == nil {
			to.dir().Children[base] = moved
			c.renamed(oldName, newName, moved)
			continue
		}
		if moved.IsDir() {
			inner := to.clone()
			if n, _, err := inner.walk([]string{base}, true); err == nil && n.IsDir() {
				c.t.record(oldName, moved, Step{Action: Moved, Origin: c.by, Other: inner.name("")})
				if err := c.merge(oldName, moved, inner); err != nil {
					return err
				}
				continue
			}
		}
		if !same(moved, there) {
			return &Collision{oldName, newName, moved.Origin, there.Origin}
		}
		c.t.nodes--
		c.t.record(oldName, moved, Step{Action: Moved, Origin: c.by, Other: newName})
	}
	return nil
}

// same says whether one of two files can stand for both.
func same(a, b *Node) bool {
	return a == b || a.Type() == TypeSymlink && b.Type() == TypeSymlink && a.Target == b.Target
}

// renamed lets the history of a subtree go on under its new name.
func (c change) renamed(oldName, newName string, n *Node) {
	walk(".", n, func(below string, n *Node) error {
		from, to := path.Join(oldName, below), path.Join(newName, below)
		c.t.record(from, n, Step{Action: Moved, Origin: c.by, Other: to})
		past := c.t.trails[from]
		c.t.trails[to] = append(c.t.trails[to], slices.Clone(past[:len(past)-1])...)
		c.t.record(to, nil, Step{Action: Received, Origin: c.by, Other: from})
		if lower := c.t.lower[from]; lower != nil {
			c.t.lower[to] = lower
		}
		return nil
	})
}
