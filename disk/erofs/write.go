package erofs

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
)

// Write writes the tree as an EROFS image, from first byte to last, and returns
// the size of the image. File contents pass through a buffer of fixed size.
func Write(w io.Writer, root *Inode, o Options) (size int64, err error) {
	m, err := Plan(root, o)
	if err != nil {
		return 0, err
	}
	return m.WriteTo(w)
}

// WriteTo writes the image: Size bytes, unless there is an error.
func (m *Image) WriteTo(w io.Writer) (int64, error) {
	s := &stream{w: bufio.NewWriterSize(w, 1<<18)}
	if err := m.write(s); err != nil {
		return s.pos, fmt.Errorf("write erofs: %w", err)
	}
	return s.pos, nil
}

func (m *Image) write(s *stream) error {
	if err := s.write(m.firstBlock()); err != nil {
		return err
	}
	for i, n := range m.nodes {
		if err := m.writeInode(s, n, i); err != nil {
			return fmt.Errorf("%s: %w", cmp.Or(n.path, "/"), err)
		}
	}
	for _, regular := range []bool{false, true} {
		for _, n := range m.nodes {
			if n.isRegular() != regular || n.size == n.tail {
				continue
			}
			if err := m.writeBlocks(s, n); err != nil {
				return fmt.Errorf("%s: %w", n.path, err)
			}
		}
	}
	if err := s.pad(m.Size()); err != nil {
		return err
	}
	return s.w.Flush()
}

// firstBlock returns block 0, which holds nothing but the superblock.
func (m *Image) firstBlock() []byte {
	super := superblock{
		Magic: superMagic, Compat: compatChecksum | compatMtime, BlockBits: blockBits,
		RootNID: uint16(m.nodes[0].nid()), Inodes: uint64(len(m.nodes)), Blocks: uint32(m.blocks),
		BuildTime: m.options.BuildTime.Unix(), BuildTimeNsec: uint32(m.options.BuildTime.Nanosecond()),
		UUID: m.options.UUID,
	}
	copy(super.Label[:], m.options.Label)
	block := make([]byte, BlockSize)
	copy(block[superOffset:], encode(super))
	super.Checksum = checksum(block[superOffset:])
	copy(block[superOffset:], encode(super))
	return block
}

// writeInode writes an inode and all that lies behind it.
func (m *Image) writeInode(s *stream, n *node, index int) error {
	if err := s.pad(n.pos); err != nil {
		return err
	}
	inode, err := n.encode(index)
	if err != nil {
		return err
	}
	if err := s.write(append(inode, n.xattrs...)); err != nil {
		return err
	}
	switch {
	case n.tail == 0:
		return nil
	case n.isRegular():
		return s.copyFile(n)
	}
	content := m.content(n)
	return s.write(content[int64(len(content))-n.tail:])
}

// encode returns the inode itself. The first inode has index 0.
func (n *node) encode(index int) ([]byte, error) {
	count, err := xattrCount(len(n.xattrs))
	if err != nil {
		return nil, err
	}
	format := uint16(layoutPlain << 1)
	if n.tail > 0 {
		format = layoutInline << 1
	}
	e := extendedInode{
		Format: format | formatExtended, XattrCount: count, Mode: uint16(n.Mode), Size: uint64(n.size),
		Data: n.dataField(), Ino: uint32(index) + 1, UID: n.UID, GID: n.GID,
		Mtime: n.Mtime.Unix(), MtimeNsec: uint32(n.Mtime.Nanosecond()), Nlink: n.nlink,
	}
	if n.extended {
		return encode(e), nil
	}
	return encode(compactInode{
		Format: format, XattrCount: count, Mode: e.Mode, Nlink: uint16(e.Nlink), Size: uint32(e.Size),
		Data: e.Data, Ino: e.Ino, UID: uint16(e.UID), GID: uint16(e.GID),
	}), nil
}

// dataField returns the first block of the data or the number of a device.
func (n *node) dataField() uint32 {
	switch n.Mode & typeMask {
	case typeChar, typeBlock:
		return n.Rdev
	case typeFIFO, typeSocket:
		return 0
	}
	if n.size == n.tail {
		return noBlock
	}
	return uint32(n.data)
}

// writeBlocks writes the data that does not lie behind the inode.
func (m *Image) writeBlocks(s *stream, n *node) error {
	if err := s.pad(n.data * BlockSize); err != nil {
		return err
	}
	if n.isRegular() {
		return s.copyFile(n)
	}
	content := m.content(n)
	return s.write(content[:int64(len(content))-n.tail])
}

// content returns the data of a directory or a symbolic link.
func (m *Image) content(n *node) []byte {
	if n.Mode&typeMask == typeSymlink {
		return []byte(n.Target)
	}
	return encodeDir(n.names, func(name string) (uint64, uint32) {
		child := n
		switch name {
		case ".":
		case "..":
			child = n.parent
		default:
			child = m.byInode[n.Children[name]]
		}
		return child.nid(), child.Mode
	})
}

// stream is the image as far as it has been written.
type stream struct {
	w   *bufio.Writer
	pos int64
}

func (s *stream) write(p []byte) error {
	n, err := s.w.Write(p)
	s.pos += int64(n)
	return err
}

// pad writes zeros up to pos. Regions are in order, so pos is never behind.
func (s *stream) pad(pos int64) error {
	if pos < s.pos {
		return fmt.Errorf("place at %d is taken up to %d", pos, s.pos)
	}
	var zeros [BlockSize]byte
	for s.pos < pos {
		if err := s.write(zeros[:min(BlockSize, pos-s.pos)]); err != nil {
			return err
		}
	}
	return nil
}

// copyFile writes the whole content of a regular file, which must have the size it said.
func (s *stream) copyFile(n *node) (err error) {
	r, err := n.Open()
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
	}()
	copied, err := io.Copy(s.w, io.LimitReader(r, n.size))
	s.pos += copied
	if err != nil {
		return err
	}
	if copied < n.size {
		return fmt.Errorf("content ends after %d of %d bytes: %w", copied, n.size, io.ErrUnexpectedEOF)
	}
	var more [1]byte
	if k, err := io.ReadFull(r, more[:]); k > 0 {
		return fmt.Errorf("content is longer than %d bytes", n.size)
	} else if err != io.EOF {
		return err
	}
	return nil
}
