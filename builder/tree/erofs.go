package tree

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/ketch-os/ketch/disk/erofs"
)

// EROFS returns the subtree called name in the form that erofs.Write takes. It
// shares contents with the tree; hard links stay hard links.
func (t *Tree) EROFS(name string) (*erofs.Inode, error) {
	n := t.Lookup(name)
	if n == nil || !n.IsDir() {
		return nil, fmt.Errorf("take %s out of the tree: no such directory", name)
	}
	return inode(name, n, map[*Node]*erofs.Inode{})
}

func inode(name string, n *Node, done map[*Node]*erofs.Inode) (*erofs.Inode, error) {
	if i := done[n]; i != nil {
		return i, nil
	}
	for _, xattr := range slices.Sorted(maps.Keys(n.Xattrs)) {
		if err := erofs.CheckXattr(xattr); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", n.Origin, name, xattrError(xattr, err))
		}
	}
	i := &erofs.Inode{
		Mode: n.Mode, UID: n.UID, GID: n.GID, Mtime: n.Mtime,
		Rdev: n.Rdev, Target: n.Target, Xattrs: n.Xattrs,
	}
	done[n] = i
	switch n.Type() {
	case TypeRegular:
		i.Size, i.Open = n.Size, n.openNamed
	case TypeDir:
		i.Children = make(map[string]*erofs.Inode, len(n.Children))
		for base, child := range n.Children {
			var err error
			if i.Children[base], err = inode(path.Join(name, base), child, done); err != nil {
				return nil, err
			}
		}
	}
	return i, nil
}

// openNamed is Open with errors that name the layer.
func (n *Node) openNamed() (io.ReadCloser, error) {
	r, err := n.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Origin, err)
	}
	return named{r, n.Origin}, nil
}

// named is a content whose errors name the layer that it is of.
type named struct {
	io.ReadCloser
	of *Origin
}

func (r named) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", r.of, err)
	}
	return n, err
}
