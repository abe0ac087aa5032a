package tree

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Why a path leads nowhere.
var (
	errMissing = errors.New("no such file or directory")
	errNotDir  = errors.New("not a directory")
	errLoop    = errors.New("too many levels of symbolic links")
)

// clean makes one name of "a", "./a", "/a" and "a/". It refuses names that climb
// out of the root and names that Linux cannot hold.
func clean(name string) (string, error) {
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("name %q: empty or with a zero byte", name)
	}
	cleaned := path.Clean(strings.TrimLeft(name, "/"))
	if cleaned == ".." || strings.HasPrefix(cleaned, "../") {
		return "", fmt.Errorf("name %q: leaves the root", name)
	}
	if len(cleaned) > maxPath {
		return "", fmt.Errorf("name %.40q…: longer than %d bytes", name, maxPath)
	}
	for part := range strings.SplitSeq(cleaned, "/") {
		if len(part) > maxName {
			return "", fmt.Errorf("name %.40q…: component longer than %d bytes", name, maxName)
		}
	}
	return cleaned, nil
}

// split cuts a name into its components, of which the root has none.
func split(name string) []string {
	if name == "." || name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// cursor is a directory of the tree and the way to it.
type cursor struct {
	dirs  []*Node  // from the root
	names []string // of all but the root
	links int      // symbolic links followed
}

func (t *Tree) cursor() *cursor { return &cursor{dirs: []*Node{t.root}} }

func (c *cursor) clone() *cursor {
	return &cursor{dirs: slices.Clone(c.dirs), names: slices.Clone(c.names), links: c.links}
}

// dir is the directory that the cursor is in.
func (c *cursor) dir() *Node { return c.dirs[len(c.dirs)-1] }

// name is the name of a file in the cursor's directory; of the directory itself for "".
func (c *cursor) name(child string) string {
	return path.Join(".", strings.Join(c.names, "/"), child)
}

func (c *cursor) enter(name string, dir *Node) {
	c.dirs, c.names = append(c.dirs, dir), append(c.names, name)
}

// leave goes to the parent; the root is its own.
func (c *cursor) leave() {
	if len(c.names) > 0 {
		c.dirs, c.names = c.dirs[:len(c.dirs)-1], c.names[:len(c.names)-1]
	}
}

// follow puts the target of a symbolic link in front of the components to come.
func (c *cursor) follow(target string, rest []string) ([]string, error) {
	if c.links++; c.links > maxLinks {
		return nil, errLoop
	}
	if strings.HasPrefix(target, "/") {
		c.dirs, c.names = c.dirs[:1], nil
	}
	return append(strings.Split(target, "/"), rest...), nil
}

// walk moves the cursor along a path as the kernel would in a root of its own,
// ".." at the root staying there. It returns the node at the end and, unless
// that is a directory that the cursor is now in, its name in the cursor's directory.
func (c *cursor) walk(parts []string, followLast bool) (*Node, string, error) {
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			c.leave()
			continue
		}
		child := c.dir().Children[part]
		switch {
		case child == nil:
			return nil, "", errMissing
		case child.IsDir():
			c.enter(part, child)
		case child.Type() == TypeSymlink && (len(parts) > 0 || followLast):
			var err error
			if parts, err = c.follow(child.Target, parts); err != nil {
				return nil, "", err
			}
		case len(parts) > 0:
			return nil, "", errNotDir
		default:
			return child, part, nil
		}
	}
	return c.dir(), "", nil
}

// find returns the node called name and the name it has when every symbolic
// link on the way is resolved.
func (t *Tree) find(name string, followLast bool) (*Node, string, error) {
	name, err := clean(name)
	if err != nil {
		return nil, "", err
	}
	c := t.cursor()
	n, base, err := c.walk(split(name), followLast)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return n, c.name(base), nil
}
