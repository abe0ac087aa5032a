// Package tree merges container layers into one file system tree in memory.
//
// Layers are applied bottom up by the rules of the OCI image specification
// ("Image Layer Filesystem Changeset", v1.1). The tree holds names and
// attributes; the contents of files stay where they are, in the uncompressed
// layers, and are read from there when somebody asks for them. Every name
// knows which layer of which image gave it, and what happened to it since.
//
// Names in the tree are slash separated and relative to its root, without a
// leading slash; "." is the root.
package tree

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"time"
)

// File types in Node.Mode, as in stat(2).
const (
	TypeMask    = 0o170000
	TypeFIFO    = 0o010000
	TypeChar    = 0o020000
	TypeDir     = 0o040000
	TypeBlock   = 0o060000
	TypeRegular = 0o100000
	TypeSymlink = 0o120000
)

// Limits of the names that Linux can hold (limits.h), and of a tree.
const (
	maxName  = 255
	maxPath  = 4095
	maxLinks = 40 // symbolic links followed in one path, as in the kernel
)

// DefaultMaxNodes is how many files a tree may hold when the policy does not say.
const DefaultMaxNodes = 2_000_000

// Tree is a file system tree in memory. It is not safe for concurrent changes;
// contents may be read concurrently.
type Tree struct {
	root   *Node
	policy Policy
	nodes  int
	trails map[string][]Step

	// image is the one whose layers are being applied, lower what it has put
	// files of its own in the place of.
	image     string
	lower     map[string]*Node
	whiteouts []Whiteout
	dropped   map[DroppedXattr]int // files, by attribute and image
}

// Node is a file of any type: an inode. One node under two names is a hard link.
type Node struct {
	Mode     uint32 // type and permissions, as st_mode of stat(2)
	UID, GID uint32
	Mtime    time.Time
	Rdev     uint32 // of a device: minor and major packed as Linux does, see Device
	Target   string // of a symbolic link, as it was written
	Xattrs   map[string][]byte
	Size     int64            // of a regular file, in bytes
	Children map[string]*Node // of a directory
	Origin   *Origin          // who gave the attributes and the content

	content content
}

// New returns a tree with nothing but its root: mode 0755, owner root, dated 1970.
func New(p Policy) *Tree {
	root := Dir(0o755, time.Unix(0, 0))
	root.Origin = &Origin{}
	return newTree(root, p, 1)
}

func newTree(root *Node, p Policy, nodes int) *Tree {
	return &Tree{
		root: root, policy: p, nodes: nodes,
		trails: map[string][]Step{}, lower: map[string]*Node{}, dropped: map[DroppedXattr]int{},
	}
}

// Root returns the root directory.
func (t *Tree) Root() *Node { return t.root }

// Dir returns a directory owned by root.
func Dir(perm uint32, mtime time.Time) *Node {
	return &Node{Mode: TypeDir | perm, Mtime: mtime, Children: map[string]*Node{}}
}

// Symlink returns a symbolic link owned by root.
func Symlink(target string, mtime time.Time) *Node {
	return &Node{Mode: TypeSymlink | 0o777, Mtime: mtime, Target: target}
}

// Device packs a device number as the kernel's new_encode_dev does, for
// numbers that fit it: major below 4096, minor below 1<<20.
func Device(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// Major returns the major number of the device.
func (n *Node) Major() uint32 { return n.Rdev >> 8 & 0xfff }

// Minor returns the minor number of the device.
func (n *Node) Minor() uint32 { return n.Rdev&0xff | n.Rdev>>12&^0xff }

// Type returns the type bits of the mode.
func (n *Node) Type() uint32 { return n.Mode & TypeMask }

// Perm returns the permission bits of the mode, setuid, setgid and sticky included.
func (n *Node) Perm() uint32 { return n.Mode &^ TypeMask }

// IsDir says whether the node is a directory.
func (n *Node) IsDir() bool { return n.Type() == TypeDir }

// Names returns the names in a directory, sorted.
func (n *Node) Names() []string { return slices.Sorted(maps.Keys(n.Children)) }

// Lookup returns the node called name, or nil. Symbolic links on the way are
// followed inside the tree, the last component is not.
func (t *Tree) Lookup(name string) *Node {
	n, _, _ := t.find(name, false)
	return n
}

// Follow returns the node that name leads to, symbolic links followed inside
// the tree, or nil.
func (t *Tree) Follow(name string) *Node {
	n, _, _ := t.find(name, true)
	return n
}

// Subtree returns the directory called name as a tree of its own. The two
// share their nodes.
func (t *Tree) Subtree(name string) (*Tree, error) {
	dir := t.Lookup(name)
	if dir == nil || !dir.IsDir() {
		return nil, fmt.Errorf("take %s out of the tree: no such directory", name)
	}
	sub := newTree(dir, t.policy, 0)
	return sub, sub.Walk(func(string, *Node) error { sub.nodes++; return nil })
}

// Walk calls visit for every name, parents first, names sorted, the root as ".".
// A node with two names is visited twice.
func (t *Tree) Walk(visit func(name string, n *Node) error) error {
	return walk(".", t.root, visit)
}

func walk(name string, n *Node, visit func(string, *Node) error) error {
	if err := visit(name, n); err != nil {
		return err
	}
	for _, child := range n.Names() {
		if err := walk(path.Join(name, child), n.Children[child], visit); err != nil {
			return err
		}
	}
	return nil
}
