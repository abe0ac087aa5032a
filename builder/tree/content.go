package tree

import (
	"bytes"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

// content is where the bytes of a regular file are: pieces of an archive, in
// order. What lies between the pieces is zero.
type content struct {
	archive io.ReaderAt
	pieces  []tarfile.Piece
}

// maxReadFile bounds ReadFile, in bytes.
const maxReadFile = 256 << 20

// File returns a regular file owned by root with data as its content.
func File(data []byte, perm uint32, mtime time.Time) *Node {
	return FileAt(bytes.NewReader(data), int64(len(data)), perm, mtime)
}

// FileAt returns a regular file owned by root whose content is the first size
// bytes of r. They are read when they are needed.
func FileAt(r io.ReaderAt, size int64, perm uint32, mtime time.Time) *Node {
	return &Node{
		Mode: TypeRegular | perm, Mtime: mtime, Size: size,
		content: content{archive: r, pieces: []tarfile.Piece{{Size: size}}},
	}
}

// Reader returns a reader of a regular file's content, holes as zeros. A layer
// that has become shorter since it was applied gives io.ErrUnexpectedEOF.
func (n *Node) Reader() *io.SectionReader {
	return io.NewSectionReader(n.content, 0, n.Size)
}

// Open returns the content of a regular file as a stream.
func (n *Node) Open() (io.ReadCloser, error) {
	if n.Type() != TypeRegular {
		return nil, fmt.Errorf("open file of mode %o: not a regular file", n.Mode)
	}
	return io.NopCloser(n.Reader()), nil
}

// ReadFile returns the content of the file that name leads to.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	n := t.Follow(name)
	switch {
	case n == nil:
		return nil, fmt.Errorf("read %s: no such file in the tree", name)
	case n.Type() != TypeRegular:
		return nil, fmt.Errorf("read %s: not a regular file", name)
	case n.Size > maxReadFile:
		return nil, fmt.Errorf("read %s: %d bytes are more than the %d that fit in memory", name, n.Size, maxReadFile)
	}
	data := make([]byte, n.Size)
	if _, err := io.ReadFull(n.Reader(), data); err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, n.Origin, err)
	}
	return data, nil
}

// ReadAt implements io.ReaderAt for offsets below the size of the file.
func (c content) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	end := off + int64(len(p))
	first := sort.Search(len(c.pieces), func(i int) bool {
		return c.pieces[i].Offset+c.pieces[i].Size > off
	})
	for _, piece := range c.pieces[first:] {
		from, to := max(off, piece.Offset), min(end, piece.Offset+piece.Size)
		if from >= to {
			break
		}
		at := piece.At + from - piece.Offset
		n, err := c.archive.ReadAt(p[from-off:to-off], at)
		if int64(n) == to-from {
			continue
		}
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return int(from-off) + n, err
	}
	return len(p), nil
}
