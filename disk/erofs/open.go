package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// FS is an EROFS image opened for reading. It is an fs.FS that knows symbolic
// links, and safe for concurrent use if the reader below it is.
//
// Nothing in the image is trusted: whatever leads out of it, contradicts
// itself or forms a loop is an error that wraps ErrCorrupt. Directories are
// checked to form a tree, so any walk ends. The memory a call takes is bounded
// by the directory or the attributes it reads. What other images may hold but
// this package cannot read wraps errors.ErrUnsupported.
type FS struct {
	r     io.ReaderAt
	size  int64 // what the superblock claims, no more than there is
	super superblock
}

// ErrCorrupt is what an error about the content of an image wraps.
var ErrCorrupt = errors.New("corrupt EROFS image")

// corrupt reports what is wrong with an image.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// unsupported reports what an image holds that this package cannot read.
func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w by this reader of EROFS", fmt.Sprintf(format, args...), errors.ErrUnsupported)
}

// Open reads the superblock of the image in the first size bytes of r. It
// refuses an image whose features it does not know.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	f := &FS{r: r, size: size}
	if err := f.readSuper(); err != nil {
		return nil, fmt.Errorf("open erofs: %w", err)
	}
	root, err := f.inode(uint64(f.super.RootNID))
	if err == nil && !root.isDir() {
		err = corrupt("the root is not a directory")
	}
	if err != nil {
		return nil, fmt.Errorf("open erofs: %w", err)
	}
	return f, nil
}

func (f *FS) readSuper() error {
	block := make([]byte, BlockSize)
	if f.size < BlockSize {
		return corrupt("%d bytes are too few", f.size)
	}
	if err := f.readAt(block, 0); err != nil {
		return err
	}
	if _, err := binary.Decode(block[superOffset:], binary.LittleEndian, &f.super); err != nil {
		return err
	}
	if err := f.super.check(); err != nil {
		return err
	}
	if err := f.super.verifyChecksum(block[superOffset:]); err != nil {
		return err
	}
	claimed := int64(f.super.Blocks) * BlockSize
	if claimed > f.size {
		return corrupt("%d bytes long, but only %d are there", claimed, f.size)
	}
	f.size = claimed
	return nil
}

// check refuses what this package cannot read.
func (s *superblock) check() error {
	switch {
	case s.Magic != superMagic:
		return corrupt("magic number %#x, want %#x", s.Magic, superMagic)
	case s.BlockBits != blockBits:
		return unsupported("blocks of 2^%d bytes", s.BlockBits)
	case s.DirBlockBits != 0:
		return unsupported("directory blocks of 2^%d blocks", s.DirBlockBits)
	case s.Incompat&^incompatZeroPadding != 0:
		return unsupported("features %#x", s.Incompat&^incompatZeroPadding)
	case s.ExtraDevices != 0:
		return unsupported("%d extra devices", s.ExtraDevices)
	}
	return nil
}

// verifyChecksum compares the checksum, if there is one, with the rest of block 0.
func (s superblock) verifyChecksum(rest []byte) error {
	if s.Compat&compatChecksum == 0 {
		return nil
	}
	want := s.Checksum
	s.Checksum = 0
	copy(rest, encode(s))
	if got := checksum(rest); got != want {
		return corrupt("superblock's checksum is %#08x, want %#08x", got, want)
	}
	return nil
}

// UUID returns the identifier of the image, in the order of its text form.
func (f *FS) UUID() [16]byte { return f.super.UUID }

// BuildTime returns the time that files have whose inode tells none.
func (f *FS) BuildTime() time.Time { return unixTime(f.super.BuildTime, f.super.BuildTimeNsec) }

// Size returns the size of the image in bytes, by its superblock.
func (f *FS) Size() int64 { return f.size }

// Inodes returns the number of inodes, by the superblock.
func (f *FS) Inodes() uint64 { return f.super.Inodes }

// readAt reads all of p, which must lie within the image.
func (f *FS) readAt(p []byte, off int64) error {
	if off < 0 || off > f.size-int64(len(p)) {
		return corrupt("%d bytes at %d lie outside of it", len(p), off)
	}
	n, err := f.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Is tells whether what r holds begins as an EROFS image does.
func Is(r io.ReaderAt) bool {
	var magic [4]byte
	n, _ := r.ReadAt(magic[:], superOffset)
	return n == len(magic) && binary.LittleEndian.Uint32(magic[:]) == superMagic
}
