package tree

import (
	"fmt"

	"github.com/ketch-os/ketch/disk/erofs"
)

// EROFS returns the subtree called name in the form that erofs.Write takes. It
// shares contents with the tree; hard links stay hard links.
func (t *Tree) EROFS(name string) (*erofs.Inode, error) {
	n := t.Lookup(name)
	if n == nil || !n.IsDir() {
		return nil, fmt.Errorf("take %s out of the tree: no such directory", name)
	}
	return inode(n, map[*Node]*erofs.Inode{}), nil
}

func inode(n *Node, done map[*Node]*erofs.Inode) *erofs.Inode {
	if i := done[n]; i != nil {
		return i
	}
	i := &erofs.Inode{
		Mode: n.Mode, UID: n.UID, GID: n.GID, Mtime: n.Mtime,
		Rdev: n.Rdev, Target: n.Target, Xattrs: n.Xattrs,
	}
	done[n] = i
	switch n.Type() {
	case TypeRegular:
		i.Size, i.Open = n.Size, n.Open
	case TypeDir:
		i.Children = make(map[string]*erofs.Inode, len(n.Children))
		for name, child := range n.Children {
			i.Children[name] = inode(child, done)
		}
	}
	return i
}
