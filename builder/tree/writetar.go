package tree

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// WriteTar writes the tree as a canonical tar archive: one tree gives one
// sequence of bytes. Names are sorted, parents first, the root as "./";
// directories end in a slash. Headers are in pax format with numeric owners,
// and with extended records only where ustar's fields do not suffice. The
// first name of a file carries its content, its further names are hard links
// to that. Holes are written out.
func (t *Tree) WriteTar(w io.Writer) error {
	tw := tar.NewWriter(w)
	first := map[*Node]string{}
	err := t.Walk(func(name string, n *Node) error { return writeEntry(tw, name, n, first, nil) })
	if err != nil {
		return err
	}
	return tw.Close()
}

// WriteLayer writes the tree as the archive of a container layer, one tree as
// one sequence of bytes: as WriteTar does, but without the root, with names
// sorted as a whole, in the plainest format that holds each of them, and with
// the owner root by name, too.
func (t *Tree) WriteLayer(w io.Writer) error {
	nodes := map[string]*Node{}
	t.Walk(func(name string, n *Node) error { nodes[name] = n; return nil })
	delete(nodes, ".")
	tw := tar.NewWriter(w)
	first := map[*Node]string{}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if err := writeEntry(tw, name, nodes[name], first, asLayer); err != nil {
			return err
		}
	}
	return tw.Close()
}

func asLayer(h *tar.Header) {
	h.Format = tar.FormatUnknown
	if h.Uid == 0 {
		h.Uname = "root"
	}
	if h.Gid == 0 {
		h.Gname = "root"
	}
}

// writeEntry writes one name; edit may change its header.
func writeEntry(tw *tar.Writer, name string, n *Node, first map[*Node]string, edit func(*tar.Header)) error {
	if err := writeNode(tw, name, n, first, edit); err != nil {
		return fmt.Errorf("write %s of %s: %w", name, n.Origin, err)
	}
	return nil
}

func writeNode(tw *tar.Writer, name string, n *Node, first map[*Node]string, edit func(*tar.Header)) error {
	h, err := tarHeader(name, n)
	if err != nil {
		return err
	}
	if edit != nil {
		edit(h)
	}
	if target, linked := first[n]; linked {
		h.Typeflag, h.Linkname, h.Size, h.PAXRecords = tar.TypeLink, target, 0, nil
	}
	if !n.IsDir() {
		first[n] = name
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	_, err = io.Copy(tw, n.Reader())
	return err
}

// tarTypes are the types of tar for the type bits of stat(2).
var tarTypes = map[uint32]byte{
	TypeRegular: tar.TypeReg,
	TypeSymlink: tar.TypeSymlink,
	TypeChar:    tar.TypeChar,
	TypeBlock:   tar.TypeBlock,
	TypeDir:     tar.TypeDir,
	TypeFIFO:    tar.TypeFifo,
}

func tarHeader(name string, n *Node) (*tar.Header, error) {
	flag, ok := tarTypes[n.Type()]
	if !ok {
		return nil, fmt.Errorf("mode %o: no such type in tar", n.Mode)
	}
	h := &tar.Header{
		Format:   tar.FormatPAX,
		Typeflag: flag,
		Name:     name,
		Linkname: n.Target,
		Mode:     int64(n.Perm()),
		Uid:      int(n.UID),
		Gid:      int(n.GID),
		ModTime:  n.Mtime,
	}
	switch flag {
	case tar.TypeDir:
		h.Name += "/"
	case tar.TypeReg:
		h.Size = n.Size
	case tar.TypeChar, tar.TypeBlock:
		h.Devmajor, h.Devminor = int64(n.Major()), int64(n.Minor())
	}
	if len(n.Xattrs) > 0 {
		h.PAXRecords = map[string]string{}
	}
	for name, value := range n.Xattrs {
		h.PAXRecords["SCHILY.xattr."+name] = string(value)
	}
	return h, nil
}

// ClampTimes sets every time after limit to limit. Earlier ones stay: that is
// what SOURCE_DATE_EPOCH asks for (reproducible-builds.org).
func (t *Tree) ClampTimes(limit time.Time) {
	t.Walk(func(_ string, n *Node) error {
		if n.Mtime.After(limit) {
			n.Mtime = limit
		}
		return nil
	})
}
