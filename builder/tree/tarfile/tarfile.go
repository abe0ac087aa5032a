// Package tarfile reads a tar archive as an index: for every entry its
// attributes and where in the archive its bytes lie, sparse files included.
// The standard library's reader hides both the positions and the sparse maps.
//
// It understands what layers are made of: v7, ustar (POSIX.1-1988), pax
// interchange (POSIX.1-2001, "pax", extended header), and GNU tar's long
// names, base-256 numbers and sparse files (old GNU format and PAX 0.0, 0.1,
// 1.0; GNU tar manual, D.2 and "Storing Sparse Files"). It leaves out
// multi-volume archives, incremental dumps and ACLs written as text.
//
// Extended headers that hold for the rest of the archive (typeflag g) may set
// owner and time. Ones that set names, sizes or extended attributes of every
// following file are refused: no tool writes them.
package tarfile

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Types of entries that Next returns (POSIX.1-2001, ustar typeflag).
const (
	TypeRegular = '0'
	TypeLink    = '1'
	TypeSymlink = '2'
	TypeChar    = '3'
	TypeBlock   = '4'
	TypeDir     = '5'
	TypeFIFO    = '6'
)

// Typeflags that Next deals with itself.
const (
	flagRegularV7  = 0
	flagContiguous = '7'
	flagExtended   = 'x'
	flagGlobal     = 'g'
	flagLongName   = 'L'
	flagLongLink   = 'K'
	flagSparse     = 'S'
)

const (
	blockSize = 512
	// maxExtended bounds an extended header, a long name and a sparse map, in bytes.
	maxExtended = 1 << 20
)

// Entry is a file in an archive.
type Entry struct {
	Name         string // as it was written
	Link         string // target of a hard or symbolic link, as it was written
	Type         byte   // one of the Type constants
	Mode         int64
	UID, GID     int64
	Mtime        time.Time
	Major, Minor int64
	Xattrs       map[string]string // pax records SCHILY.xattr.NAME
	Size         int64             // of a regular file, holes included
	Pieces       []Piece           // where its bytes are; what lies between them is zero
}

// Piece is a run of a file's bytes inside the archive.
type Piece struct {
	Offset int64 // in the file
	At     int64 // in the archive
	Size   int64
}

// Error is a fault in an archive.
type Error struct {
	At    int64 // offset of the header
	Name  string
	Cause error
}

func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("read tar header at byte %d: %v", e.At, e.Cause)
	}
	return fmt.Sprintf("read tar entry %q at byte %d: %v", e.Name, e.At, e.Cause)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Reader goes through an archive entry by entry.
type Reader struct {
	r       io.ReaderAt
	size    int64
	next    int64             // offset of the next header
	globals map[string]string // records of typeflag g
}

// NewReader returns a reader of the archive in the first size bytes of r.
func NewReader(r io.ReaderAt, size int64) *Reader {
	return &Reader{r: r, size: size, globals: map[string]string{}}
}

// extension is what the headers before an entry say about it.
type extension struct {
	records            map[string]string
	longName, longLink string
}

// Next returns the next entry, or io.EOF after the last one: at two blocks of
// zeros, whatever follows them, or at the end of the file.
func (r *Reader) Next() (*Entry, error) {
	ext := extension{}
	for {
		at := r.next
		h, err := r.header()
		if err == io.EOF && !ext.empty() {
			err = io.ErrUnexpectedEOF
		}
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, &Error{At: at, Cause: err}
		}
		if h.isExtension() {
			if err := r.extend(&ext, h); err != nil {
				return nil, &Error{At: at, Cause: err}
			}
			continue
		}
		e, err := r.entry(h, ext)
		if err != nil {
			return nil, &Error{At: at, Name: e.Name, Cause: err}
		}
		return e, nil
	}
}

func (x *extension) empty() bool {
	return x.records == nil && x.longName == "" && x.longLink == ""
}

// header reads the header at r.next and moves behind it.
func (r *Reader) header() (*header, error) {
	var block [blockSize]byte
	if err := r.block(&block); err != nil {
		return nil, err
	}
	if block != ([blockSize]byte{}) {
		return parseHeader(&block)
	}
	if err := r.block(&block); err != nil {
		return nil, err // the end of the file after a single block of zeros is an end, too
	}
	if block != ([blockSize]byte{}) {
		return nil, errors.New("a block of zeros in the middle of the archive")
	}
	return nil, io.EOF
}

// block reads the block at r.next and moves behind it.
func (r *Reader) block(b *[blockSize]byte) error {
	if r.next >= r.size {
		return io.EOF
	}
	if r.size-r.next < blockSize {
		return io.ErrUnexpectedEOF
	}
	if err := r.readAt(b[:], r.next); err != nil {
		return err
	}
	r.next += blockSize
	return nil
}

// readAt fills p.
func (r *Reader) readAt(p []byte, at int64) error {
	n, err := r.r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	return unexpected(err)
}

// extend takes in a header that describes the entries after it.
func (r *Reader) extend(ext *extension, h *header) error {
	data, err := r.text(h.Size)
	if err != nil {
		return err
	}
	switch h.Type {
	case flagLongName:
		ext.longName = cString(data)
	case flagLongLink:
		ext.longLink = cString(data)
	case flagExtended:
		ext.records, err = parseRecords(data)
	case flagGlobal:
		err = r.global(data)
	}
	return err
}

// text reads the data of an extension header, size bytes, and moves behind it.
func (r *Reader) text(size int64) ([]byte, error) {
	if size > maxExtended {
		return nil, fmt.Errorf("extended header of %d bytes is larger than %d", size, maxExtended)
	}
	at := r.next
	if err := r.skip(size); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	return data, r.readAt(data, at)
}

// skip moves behind size bytes of data and their padding. An archive may end
// before the padding does.
func (r *Reader) skip(size int64) error {
	if size < 0 {
		return errors.New("negative size")
	}
	if size > r.size-r.next {
		return fmt.Errorf("%d bytes of data, but the archive ends after %d: %w", size, r.size-r.next, io.ErrUnexpectedEOF)
	}
	r.next += (size + blockSize - 1) / blockSize * blockSize
	return nil
}

// entry makes an entry of its header and the extensions before it. Its name is
// set even when there is an error.
func (r *Reader) entry(h *header, ext extension) (*Entry, error) {
	e := &Entry{
		Name: h.Name, Link: h.Link, Type: h.Type, Mode: h.Mode, UID: h.UID, GID: h.GID,
		Mtime: h.Mtime, Major: h.Major, Minor: h.Minor, Size: h.Size,
	}
	if ext.longName != "" {
		e.Name = ext.longName
	}
	if ext.longLink != "" {
		e.Link = ext.longLink
	}
	if err := e.apply(r.globals); err != nil {
		return e, err
	}
	if err := e.apply(ext.records); err != nil {
		return e, err
	}
	if err := e.settleType(); err != nil {
		return e, err
	}
	if e.Type != TypeRegular {
		e.Size = 0
		return e, nil
	}
	return e, r.place(e, h, ext.records)
}

// settleType turns the historical flags into the types they mean.
func (e *Entry) settleType() error {
	switch e.Type {
	case TypeRegular, TypeLink, TypeSymlink, TypeChar, TypeBlock, TypeDir, TypeFIFO:
	case flagRegularV7:
		e.Type = TypeRegular
		if e.Name != "" && e.Name[len(e.Name)-1] == '/' {
			e.Type = TypeDir // v7 had no flag for directories
		}
	case flagContiguous, flagSparse:
		e.Type = TypeRegular
	default:
		return fmt.Errorf("unknown type %q", e.Type)
	}
	return nil
}

// place finds out where the bytes of a regular file are, and moves behind them.
func (r *Reader) place(e *Entry, h *header, records map[string]string) error {
	stored := e.Size // what the archive holds: for a sparse file less than its size
	m, err := r.sparseMap(e, h, records)
	if err != nil {
		return fmt.Errorf("sparse file: %w", err)
	}
	at := r.next
	if err := r.skip(stored - m.stored); err != nil {
		return err
	}
	if m.sparse {
		e.Pieces, err = m.pieces(at, stored-m.stored, e.Size)
		return err
	}
	if e.Size > 0 {
		e.Pieces = []Piece{{Offset: 0, At: at, Size: e.Size}}
	}
	return nil
}

// unexpected turns the end of the file into an error: it came too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
