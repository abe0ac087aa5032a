package erofs

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"syscall"
)

// dirBlock reads block number i of a directory.
func (f *FS) dirBlock(dir *inode, i int64) ([]entry, error) {
	block := make([]byte, min(BlockSize, dir.Size-i*BlockSize))
	if _, err := (data{f, dir}).ReadAt(block, i*BlockSize); err != nil {
		return nil, err
	}
	entries, err := decodeDirBlock(block)
	if err != nil {
		return nil, corrupt("inode %d: %v", dir.NID, err)
	}
	return entries, nil
}

// lookup finds a name in a directory, by binary search over its blocks and then
// in a block, as the kernel does.
func (f *FS) lookup(dir *inode, name string) (*inode, error) {
	// The block to look in is the last whose first name is not behind name.
	var block []entry
	for low, high := int64(0), blocks(dir.Size); low < high; {
		middle := (low + high) / 2
		entries, err := f.dirBlock(dir, middle)
		if err != nil {
			return nil, err
		}
		if entries[0].name > name {
			high = middle
		} else {
			block, low = entries, middle+1
		}
	}
	i := sort.Search(len(block), func(i int) bool { return block[i].name >= name })
	if i == len(block) || block[i].name != name {
		return nil, fs.ErrNotExist
	}
	return f.entryInode(dir, block[i])
}

// entryInode reads the inode of an entry, which must tell the same type.
func (f *FS) entryInode(dir *inode, e entry) (*inode, error) {
	in, err := f.inode(e.nid)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	if direntType(in.Mode) != e.kind {
		return nil, corrupt("inode %d: entry %q and its inode differ in type", dir.NID, e.name)
	}
	return in, nil
}

// child is an entry of a directory with its inode.
type child struct {
	name  string
	inode *inode
}

// children reads and checks a whole directory, found in the directory numbered
// parent. It returns the entries but "." and "..".
func (f *FS) children(dir *inode, parent uint64) ([]child, error) {
	if !dir.isDir() {
		return nil, syscall.ENOTDIR
	}
	check := newDirCheck(dir.NID, parent)
	var children []child
	for i := range blocks(dir.Size) {
		entries, err := f.dirBlock(dir, i)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if err := check.entry(e); err != nil {
				return nil, err
			}
			if isDot(e.name) {
				continue
			}
			in, err := f.entryInode(dir, e)
			if err != nil {
				return nil, err
			}
			children = append(children, child{e.name, in})
		}
	}
	return children, check.end()
}

// dirCheck checks the entries of one directory, in their order. Together its
// rules make directories a tree: ".." leads back, so a directory is in one
// directory only, and it is in there once.
type dirCheck struct {
	nid  uint64
	dots map[string]uint64 // "." and "..", until they are met
	dirs map[uint64]bool   // which no further entry may be
	last string
}

func newDirCheck(nid, parent uint64) *dirCheck {
	return &dirCheck{
		nid:  nid,
		dots: map[string]uint64{".": nid, "..": parent},
		dirs: map[uint64]bool{nid: true},
	}
}

func (c *dirCheck) entry(e entry) error {
	if e.name <= c.last {
		return corrupt("inode %d: directory entry %q is out of order", c.nid, e.name)
	}
	c.last = e.name
	if want, dot := c.dots[e.name]; dot {
		delete(c.dots, e.name)
		if e.nid != want || e.kind != direntType(typeDir) {
			return corrupt("inode %d: %q is inode %d, not directory %d", c.nid, e.name, e.nid, want)
		}
		return nil
	}
	if e.kind != direntType(typeDir) {
		return nil
	}
	if c.dirs[e.nid] {
		return corrupt("inode %d: %q is a second name for directory %d", c.nid, e.name, e.nid)
	}
	c.dirs[e.nid] = true
	return nil
}

func (c *dirCheck) end() error {
	if len(c.dots) > 0 {
		return corrupt(`inode %d: directory without "." or ".."`, c.nid)
	}
	return nil
}

// Walk calls visit for every name in the image, a directory before its entries,
// entries sorted by name. The root's path is ".". An error from visit ends the
// walk and is returned, but for fs.SkipAll.
func (f *FS) Walk(visit func(path string, s *Stat) error) error {
	return f.walk(func(path string, in *inode) error { return visit(path, &in.Stat) })
}

func (f *FS) walk(visit func(path string, in *inode) error) error {
	names := int64(0)
	counted := func(path string, in *inode) error {
		if names++; names > f.size/direntSize {
			return corrupt("more names than it has place for")
		}
		return visit(path, in)
	}
	root, err := f.inode(uint64(f.super.RootNID))
	if err == nil {
		err = f.walkTree(".", root, root.NID, counted)
	}
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

func (f *FS) walkTree(path string, in *inode, parent uint64, visit func(string, *inode) error) error {
	if len(path) > maxPath {
		return corrupt("path of more than %d bytes: %.100s…", maxPath, path)
	}
	if err := visit(path, in); err != nil || !in.isDir() {
		return err
	}
	children, err := f.children(in, parent)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, c := range children {
		if err := f.walkTree(strings.TrimPrefix(path+"/"+c.name, "./"), c.inode, in.NID, visit); err != nil {
			return err
		}
	}
	return nil
}

// Describe tells in words what the byte at offset belongs to: "superblock",
// "inode of bin/x", "data of bin/x", "padding".
func (f *FS) Describe(offset int64) string {
	switch {
	case offset < 0 || offset >= f.size:
		return "outside of the file system"
	case offset < superOffset:
		return "unused bytes before the superblock"
	case offset < superOffset+superblockSize:
		return "superblock"
	}
	found := "padding"
	err := f.walk(func(path string, in *inode) error {
		if part := in.part(offset); part != "" {
			found = part + " " + path
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return fmt.Sprintf("unknown: %v", err)
	}
	return found
}

// part tells which part of an inode the byte at offset is, or "".
func (i *inode) part(offset int64) string {
	content := "data of"
	switch i.Mode & typeMask {
	case typeDir:
		content = "directory"
	case typeSymlink:
		content = "target of"
	case typeRegular:
	default: // a device's number is in its inode
		i = &inode{pos: i.pos, xattrPos: i.xattrPos, xattrs: i.xattrs}
	}
	switch {
	case i.pos <= offset && offset < i.xattrPos:
		return "inode of"
	case i.xattrPos <= offset && offset < i.xattrPos+i.xattrs:
		return "extended attributes of"
	case i.headPos <= offset && offset < i.headPos+i.head,
		i.tailPos <= offset && offset < i.tailPos+i.Size-i.head:
		return content
	}
	return ""
}
