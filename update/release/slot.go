package release

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
)

// Slot is a version of the OS as it lies on a disk: usr and its hash tree.
type Slot struct {
	Root         verity.RootHash
	Name         string // "A" or "B"; empty: its partitions are not those of a slot
	Label        string
	Usr, Hash    *io.SectionReader
	UsrSize      int64 // bytes of the file system
	UsrNumber    int
	VerityNumber int
	Superblock   *verity.Superblock // of the hash tree
}

// ErrNoSlot tells that a disk does not hold a version.
var ErrNoSlot = errors.New("no slot holds the version")

// ReadSlot finds the version with a root hash on a disk, by the UUIDs of its
// partitions. Nothing of it is checked but that it may fit: see Verify.
func ReadSlot(disk io.ReaderAt, table *gpt.Table, root verity.RootHash) (*Slot, error) {
	usrID, verityID := SlotIDs(root)
	usr, hash := table.ByID(usrID), table.ByID(verityID)
	if usr == 0 || hash == 0 {
		return nil, fmt.Errorf("%w with root hash %s: want partitions %s and %s", ErrNoSlot, root, usrID, verityID)
	}
	section := func(number int) *io.SectionReader {
		p := table.Partitions[number-1]
		return io.NewSectionReader(disk, p.Offset(table.SectorSize), p.Size(table.SectorSize))
	}
	s := &Slot{
		Root: root, Name: SlotName(usr, hash), Label: table.Partitions[usr-1].Name,
		Usr: section(usr), Hash: section(hash), UsrNumber: usr, VerityNumber: hash,
	}
	if err := s.readSuperblock(); err != nil {
		return nil, fmt.Errorf("partition %d (%s): %w", hash, table.Partitions[hash-1].Name, err)
	}
	return s, nil
}

// SlotName is the name of the slot that two partitions make, by their numbers;
// empty for two that are no slot.
func SlotName(usr, hash int) string {
	for _, slot := range layout.Slots() {
		if slot.Usr == usr && slot.Verity == hash {
			return slot.Name
		}
	}
	return ""
}

// readSuperblock learns the sizes. They are claims: those that the partitions
// cannot hold are refused.
func (s *Slot) readSuperblock() (err error) {
	if s.Superblock, err = verity.ReadSuperblock(s.Hash); err != nil {
		return err
	}
	s.UsrSize = s.Superblock.DataSize()
	if s.UsrSize > s.Usr.Size() || verity.HashSize(s.UsrSize) > s.Hash.Size() {
		return fmt.Errorf("the superblock tells of %d bytes, more than the partition holds", s.UsrSize)
	}
	return nil
}

// Verify checks every block of usr and of its hash tree against the root hash. A
// block that differs is a *verity.CorruptError.
func (s *Slot) Verify() error {
	return verity.Verify(io.NewSectionReader(s.Usr, 0, s.UsrSize), s.Hash, s.Root)
}

// FS is the file system of usr. Nothing in it is checked against the root hash.
func (s *Slot) FS() (*erofs.FS, error) {
	usr, err := erofs.Open(s.Usr, s.UsrSize)
	if err != nil {
		return nil, fmt.Errorf("usr: %w", err)
	}
	return usr, nil
}

// Info reads the slot's image.json.
func (s *Slot) Info() (info *Info, raw []byte, err error) {
	usr, err := s.FS()
	if err != nil {
		return nil, nil, err
	}
	info, raw, err = ReadInfo(usr)
	if err != nil {
		return nil, nil, fmt.Errorf("usr: %w", err)
	}
	return info, raw, nil
}

// ReadInfo reads the image.json of a usr: a slot's, or the one that the system
// runs from.
func ReadInfo(usr fs.FS) (info *Info, raw []byte, err error) {
	if raw, err = fs.ReadFile(usr, strings.TrimPrefix(layout.ImageInfo, "/usr/")); err != nil {
		return nil, nil, err
	}
	if info, err = DecodeInfo(raw); err != nil {
		return nil, nil, err
	}
	return info, raw, nil
}
