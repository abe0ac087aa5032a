package platform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

// archive is a tar archive around a disk.
type archive struct {
	first   tarHeader
	members []string
}

// tarHeader is the part of a header block in which the dialects of tar differ
// (POSIX.1-2001, ustar interchange format; GNU tar manual, "Basic Tar Format").
type tarHeader struct {
	_     [156]byte // 0
	Type  byte      // 156
	_     [100]byte // 157
	Magic [8]byte   // 257: magic and version
}

const (
	tarMagicAt = 257
	magicGNU   = "ustar  \x00" // "oldgnu": magic and version in one
	typeSparse = 'S'
)

func isTar(r io.ReaderAt, size int64) bool {
	var magic [5]byte
	_, err := r.ReadAt(magic[:], tarMagicAt)
	return err == nil && string(magic[:]) == "ustar"
}

// untar opens the archive's first file as the disk.
func (a *Artefact) untar() error {
	a.tar = &archive{}
	first := io.NewSectionReader(a.Disk, 0, int64(binary.Size(a.tar.first)))
	if err := binary.Read(first, binary.LittleEndian, &a.tar.first); err != nil {
		return err
	}
	var disk *tarfile.Entry
	for r := tarfile.NewReader(a.Disk, a.Size); ; {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		a.tar.members = append(a.tar.members, e.Name)
		if disk == nil && e.Type == tarfile.TypeRegular {
			disk = e
		}
	}
	if disk == nil {
		return errors.New("no file in it")
	}
	a.Disk, a.Size = &pieces{a.Disk, disk.Pieces, disk.Size}, disk.Size
	return nil
}

// oldGNU is the rule of platforms that read no other tar than GNU's of old: the
// first header is that of the file itself, with no extension before it.
func oldGNU(a *Artefact) (string, error) {
	if a.tar == nil {
		return "", errNoTar
	}
	h := a.tar.first
	switch {
	case h.Type == 'x', h.Type == 'g':
		return "", fmt.Errorf("byte 0: a PAX header (type %q); want tar --format=oldgnu", h.Type)
	case string(h.Magic[:]) != magicGNU:
		return "", fmt.Errorf("byte %d: magic %q; want %q, tar --format=oldgnu", tarMagicAt, h.Magic, magicGNU)
	case h.Type != tarfile.TypeRegular && h.Type != typeSparse:
		return "", fmt.Errorf("byte 156: a member of type %q; want a file", h.Type)
	case h.Type == typeSparse:
		return "oldgnu, sparse", nil
	}
	return "oldgnu", nil
}

var errNoTar = errors.New("there is no tar archive")

// member is the rule that an archive holds one file, of that name.
func member(name string) func(*Artefact) (string, error) {
	return func(a *Artefact) (string, error) {
		if a.tar == nil {
			return "", errNoTar
		}
		if len(a.tar.members) != 1 || a.tar.members[0] != name {
			return "", fmt.Errorf("members %q; want one, %q", a.tar.members, name)
		}
		return name, nil
	}
}

// pieces are the parts of a file that an archive holds; what lies between is zero.
type pieces struct {
	archive io.ReaderAt
	list    []tarfile.Piece
	size    int64
}

// ReadAt implements io.ReaderAt.
func (f *pieces) ReadAt(p []byte, off int64) (n int, err error) {
	if off >= f.size {
		return 0, io.EOF
	}
	if int64(len(p)) > f.size-off {
		p, err = p[:f.size-off], io.EOF
	}
	clear(p)
	end := off + int64(len(p))
	first := sort.Search(len(f.list), func(i int) bool { return f.list[i].Offset+f.list[i].Size > off })
	for _, piece := range f.list[first:] {
		from, to := max(off, piece.Offset), min(end, piece.Offset+piece.Size)
		if from >= to {
			break
		}
		if _, err := f.archive.ReadAt(p[from-off:to-off], piece.At+from-piece.Offset); err != nil {
			return int(from - off), err
		}
	}
	return len(p), err
}
