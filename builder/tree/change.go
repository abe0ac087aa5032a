package tree

import (
	"fmt"
	"path"
	"time"
)

// change is one party's work on the tree.
type change struct {
	t  *Tree
	by *Origin
}

// Put puts n at name in the builder's own name, o, in place of what is there.
// Missing parents are made; symbolic links among them are followed.
func (t *Tree) Put(name string, n *Node, o *Origin) error {
	name, err := clean(name)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if name == "." {
		return fmt.Errorf("put %s: the root cannot be replaced", name)
	}
	if o == nil {
		o = &Origin{}
	}
	c := change{t, o}
	parent, err := c.parent(path.Dir(name), n.Mtime)
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	adopt(n, o)
	return c.place(parent, path.Base(name), n, Step{Action: Generated, Origin: o})
}

// adopt names o as the origin of every node below n that has none.
func adopt(n *Node, o *Origin) {
	if n.Origin == nil {
		n.Origin = o
	}
	for _, child := range n.Children {
		adopt(child, o)
	}
}

// Remove removes name, and what is below it. Symbolic links are followed on the
// way, not at the end. It is an error when nothing has that name.
func (t *Tree) Remove(name string, o *Origin) error {
	_, name, err := t.find(name, false)
	if err != nil {
		return fmt.Errorf("remove %w", err)
	}
	if name == "." {
		return fmt.Errorf("remove %s: the root cannot be removed", name)
	}
	t.remove(name, Step{Action: Removed, Origin: o})
	return nil
}

// remove takes a name whose parents are directories, if it is there, out of the tree.
func (t *Tree) remove(name string, s Step) {
	c := t.cursor()
	if _, leaf, err := c.walk(split(path.Dir(name)), false); err != nil || leaf != "" {
		return // gone with a parent
	}
	if n := c.dir().Children[path.Base(name)]; n != nil {
		t.forget(name, n, s)
		delete(c.dir().Children, path.Base(name))
	}
}

// forget records the end of a name and of all names below it.
func (t *Tree) forget(name string, n *Node, s Step) {
	below := s
	if s.Action != Dropped {
		below.Action = Removed
	}
	below.Other = name
	walk(name, n, func(at string, n *Node) error {
		t.nodes--
		if at == name {
			t.record(at, n, s)
		} else {
			t.record(at, n, below)
		}
		return nil
	})
}

// place gives n the name base in the cursor's directory, in place of what has
// it, if the policy allows that.
func (c change) place(parent *cursor, base string, n *Node, s Step) error {
	name := parent.name(base)
	if len(name) > maxPath {
		return fmt.Errorf("%.40s…: longer than %d bytes", name, maxPath)
	}
	old := parent.dir().Children[base]
	if old != nil {
		if err := c.mayOverwrite(name, old); err != nil {
			return err
		}
		c.covers(name, old)
		c.t.forget(name, old, Step{Action: Replaced, Origin: c.by})
	}
	parent.dir().Children[base] = n
	if s.Action != Added || old == nil && c.t.trails[name] != nil {
		c.t.record(name, nil, s)
	}
	return c.t.count(n)
}

// count adds a node, and what is below it, to the size of the tree.
func (t *Tree) count(n *Node) error {
	return walk(".", n, func(string, *Node) error {
		t.nodes++
		if limit := t.policy.maxNodes(); t.nodes > limit {
			return fmt.Errorf("more than %d files", limit)
		}
		return nil
	})
}

// parent goes to the directory called dir and makes what is missing of it.
// Symbolic links to directories are followed inside the tree, dangling ones
// too; whatever else stands in the way is replaced by a directory.
func (c change) parent(dir string, mtime time.Time) (*cursor, error) {
	at := c.t.cursor()
	for parts := split(dir); len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at.leave()
			continue
		}
		child := at.dir().Children[part]
		follow, err := at.leadsOn(part, child)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at.name(part), err)
		}
		if follow {
			if parts, err = at.follow(child.Target, parts); err != nil {
				return nil, fmt.Errorf("%s: %w", at.name(part), err)
			}
			continue
		}
		if child == nil || !child.IsDir() {
			if err := c.imply(at, part, mtime); err != nil {
				return nil, err
			}
		}
		at.enter(part, at.dir().Children[part])
	}
	return at, nil
}

// imply makes a directory that is needed but that nobody describes: mode 0755,
// owner root, and the time of the file that needs it.
func (c change) imply(parent *cursor, base string, mtime time.Time) error {
	dir := Dir(0o755, mtime)
	dir.Origin = c.by
	return c.place(parent, base, dir, Step{Action: Implied, Origin: c.by})
}

// leadsOn says whether a file is a symbolic link that a parent may go through:
// to a directory, or to nothing yet.
func (c *cursor) leadsOn(name string, n *Node) (bool, error) {
	if n == nil || n.Type() != TypeSymlink {
		return false, nil
	}
	target, _, err := c.clone().walk([]string{name}, true)
	switch err {
	case nil:
		return target.IsDir(), nil
	case errLoop:
		return false, err
	}
	return err == errMissing, nil
}
