package diskfile

import (
	"encoding/binary"
	"errors"
	"io"
	"sort"

	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

// Archive is a tar archive around a disk.
type Archive struct {
	First   TarHeader
	Members []string // names
}

// TarHeader is the part of a header block in which the dialects of tar differ
// (POSIX.1-2001, ustar interchange format; GNU tar manual, "Basic Tar Format").
type TarHeader struct {
	_     [156]byte // 0
	Type  byte      // 156
	_     [100]byte // 157
	Magic [8]byte   // 257: magic and version
}

// TarMagicAt is the offset of TarHeader.Magic, in bytes.
const TarMagicAt = 257

func isTar(r io.ReaderAt, size int64) bool {
	var magic [5]byte
	_, err := r.ReadAt(magic[:], TarMagicAt)
	return err == nil && string(magic[:]) == "ustar"
}

// untar opens the archive's first file as the disk.
func (d *File) untar() error {
	d.Tar = &Archive{}
	first := io.NewSectionReader(d.Disk, 0, int64(binary.Size(d.Tar.First)))
	if err := binary.Read(first, binary.LittleEndian, &d.Tar.First); err != nil {
		return err
	}
	var disk *tarfile.Entry
	for r := tarfile.NewReader(d.Disk, d.Size); ; {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		d.Tar.Members = append(d.Tar.Members, e.Name)
		if disk == nil && e.Type == tarfile.TypeRegular {
			disk = e
		}
	}
	if disk == nil {
		return errors.New("no file in it")
	}
	d.Disk, d.Size = &pieces{d.Disk, disk.Pieces, disk.Size}, disk.Size
	return nil
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
