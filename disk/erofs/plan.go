package erofs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Inode is a file of the tree to be written. The same *Inode under two names is
// a hard link; a directory can have one name only.
type Inode struct {
	Mode     uint32 // type and permissions as in stat(2)
	UID, GID uint32
	Mtime    time.Time
	Rdev     uint32            // of a device: as in stat(2), 12 bits of major, 20 of minor
	Target   string            // of a symbolic link: at most 4095 bytes
	Xattrs   map[string][]byte // by full name: user., trusted., security. and POSIX ACLs

	Size     int64                         // of a regular file
	Open     func() (io.ReadCloser, error) // of a regular file: gives exactly Size bytes, once for each write; may be nil if Size is 0
	Children map[string]*Inode             // of a directory
}

// Options are what the superblock says about the image.
type Options struct {
	UUID [16]byte // in the order of its text form
	// BuildTime should be the time that most files have: they take half the
	// space for their inodes then.
	BuildTime time.Time
	Label     string // at most 16 bytes
}

// Image is a tree with a place for everything in it, ready to be written. As its
// size is known by then, it can be hashed by a verity.Writer while it is written.
type Image struct {
	options Options
	nodes   []*node // in the order of the tree
	byInode map[*Inode]*node
	blocks  int64
}

// node is an Inode that has been given its place.
type node struct {
	*Inode
	path     string // the first of its names; "" for the root
	parent   *node  // the root's is the root
	names    []string
	nlink    uint32
	size     int64
	xattrs   []byte
	extended bool

	pos  int64 // of the inode, in bytes
	tail int64 // bytes of data behind the inode
	data int64 // first block of the other data
}

// Plan gives everything in the tree its place. It reads no file contents.
func Plan(root *Inode, o Options) (*Image, error) {
	m := &Image{options: o, byInode: make(map[*Inode]*node)}
	if len(o.Label) > len(superblock{}.Label) {
		return nil, fmt.Errorf("plan erofs: label %q is longer than %d bytes", o.Label, len(superblock{}.Label))
	}
	if root == nil || root.Mode&typeMask != typeDir {
		return nil, errors.New("plan erofs: the root is not a directory")
	}
	if err := m.add("", root, nil); err != nil {
		return nil, fmt.Errorf("plan erofs: %w", err)
	}
	m.place()
	if m.blocks > maxBlocks {
		return nil, fmt.Errorf("plan erofs: %d blocks, at most %d", m.blocks, int64(maxBlocks))
	}
	return m, nil
}

// Size returns the size of the image in bytes, a multiple of BlockSize.
func (m *Image) Size() int64 { return m.blocks * BlockSize }

// add enters an inode under one of its names, and all that lies below it.
func (m *Image) add(path string, in *Inode, parent *node) error {
	if n := m.byInode[in]; n != nil {
		if in.Mode&typeMask == typeDir {
			return fmt.Errorf("%s: a second name for the directory %q", path, n.path)
		}
		n.nlink++
		return nil
	}
	n, err := newNode(path, in, parent)
	if err != nil {
		return fmt.Errorf("%s: %w", cmp.Or(path, "/"), err)
	}
	m.nodes = append(m.nodes, n)
	m.byInode[in] = n
	for _, name := range n.names {
		if isDot(name) {
			n.nlink++ // a directory's own ".", and its name or ".."
			continue
		}
		child := in.Children[name]
		if err := m.add(strings.TrimPrefix(path+"/"+name, "/"), child, n); err != nil {
			return err
		}
		if child.Mode&typeMask == typeDir {
			n.nlink++ // the child's ".."
		}
	}
	return nil
}

func isDot(name string) bool { return name == "." || name == ".." }

// newNode checks an inode and measures its data.
func newNode(path string, in *Inode, parent *node) (*node, error) {
	if in == nil {
		return nil, errors.New("nothing under this name")
	}
	n := &node{Inode: in, path: path, parent: parent, nlink: 1}
	if parent == nil {
		n.parent = n
	}
	switch {
	case len(path) > maxPath:
		return nil, fmt.Errorf("path of %d bytes, at most %d", len(path), maxPath)
	case direntType(in.Mode) == 0 || in.Mode > 0o177777:
		return nil, fmt.Errorf("unknown mode %#o", in.Mode)
	case in.Children != nil && in.Mode&typeMask != typeDir:
		return nil, errors.New("entries in what is not a directory")
	}
	var err error
	if n.xattrs, err = encodeXattrs(in.Xattrs); err != nil {
		return nil, err
	}
	return n, n.measure()
}

// measure finds the size of the data, and the names of a directory.
func (n *node) measure() error {
	switch n.Mode & typeMask {
	case typeDir:
		n.nlink = 0 // counted by its names
		n.names = append(slices.Collect(maps.Keys(n.Children)), ".", "..")
		slices.Sort(n.names)
		n.size = dirSize(n.names)
		return checkNames(n.Children)
	case typeSymlink:
		n.size = int64(len(n.Target))
		if n.size == 0 || n.size > maxTarget || strings.ContainsRune(n.Target, 0) {
			return fmt.Errorf("link target of %d bytes, want 1 to %d and no NUL", n.size, maxTarget)
		}
	case typeRegular:
		n.size = n.Size
		if n.size < 0 || n.size > maxBlocks*BlockSize {
			return fmt.Errorf("size of %d bytes, at most %d", n.size, int64(maxBlocks*BlockSize))
		}
		if n.size > 0 && n.Open == nil {
			return errors.New("no content")
		}
	}
	return nil
}

func checkNames(children map[string]*Inode) error {
	for name := range children {
		switch {
		case name == "" || isDot(name) || strings.ContainsAny(name, "/\x00"):
			return fmt.Errorf("entry %q: not a file name", name)
		case len(name) > maxName:
			return fmt.Errorf("entry %q: name of %d bytes, at most %d", name, len(name), maxName)
		}
	}
	return nil
}

// place lays out the three regions.
func (m *Image) place() {
	pos := int64(BlockSize)
	for _, n := range m.nodes {
		n.extended = m.needsExtended(n)
		pos = n.placeInode(pos)
	}
	next := blocks(pos)
	for _, regular := range []bool{false, true} {
		for _, n := range m.nodes {
			if n.isRegular() == regular {
				n.data = next
				next += blocks(n.size - n.tail)
			}
		}
	}
	m.blocks = next
}

func (n *node) isRegular() bool { return n.Mode&typeMask == typeRegular }

// needsExtended tells whether an inode says something that a compact one cannot.
func (m *Image) needsExtended(n *node) bool {
	return max(n.UID, n.GID, n.nlink) > maxCompactIDs || n.size > maxCompactLength ||
		!n.Mtime.Equal(m.options.BuildTime)
}

// placeInode puts the inode at pos or soon after it and returns where the next
// one may start. The inode itself may not cross the end of a block; with inline
// data, nothing of it may.
func (n *node) placeInode(pos int64) int64 {
	whole := n.inodeSize() + int64(len(n.xattrs))
	unbroken := n.inodeSize()
	if n.tail = n.inlineTail(); whole+n.tail > BlockSize {
		n.tail = 0
	}
	if whole += n.tail; n.tail > 0 {
		unbroken = whole
	}
	if pos%BlockSize+unbroken > BlockSize {
		pos = roundUp(pos, BlockSize)
	}
	n.pos = pos
	return roundUp(pos+whole, slotSize)
}

func (n *node) inodeSize() int64 {
	if n.extended {
		return extendedSize
	}
	return compactSize
}

// inlineTail returns how much of the data should lie behind the inode: what is
// at most half a block, so that little is lost at the end of blocks. A regular
// file goes there whole or not at all (see the package comment).
func (n *node) inlineTail() int64 {
	tail := n.size % BlockSize
	if tail > BlockSize/2 || n.isRegular() && tail != n.size {
		return 0
	}
	return tail
}

func (n *node) nid() uint64 { return uint64(n.pos / slotSize) }
