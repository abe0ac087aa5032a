package compare

import (
	"fmt"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/update/release"
)

// side is one of the images, opened.
type side struct {
	path  string
	disk  *image.Disk
	entry image.Entry
	uki   *uki.Sections
	slot  *release.Slot
	info  *release.Info
	usr   *erofs.FS
	files map[string]*file // of usr, by path
}

func open(path string, most int64) (*side, error) {
	d, err := image.OpenWithin(path, most)
	if err != nil {
		return nil, err
	}
	s := &side{path: path, disk: d}
	if err := s.read(); err != nil {
		d.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *side) close() { s.disk.Close() }

func (s *side) read() (err error) {
	if s.entry, err = s.disk.Newest(); err != nil {
		return err
	}
	if s.uki, err = uki.Parse(s.entry.Data); err != nil {
		return err
	}
	if s.slot, err = s.disk.Slot(s.entry.RootHash); err != nil {
		return err
	}
	if s.info, _, err = s.slot.Info(); err != nil {
		return err
	}
	if s.usr, err = s.slot.FS(); err != nil {
		return err
	}
	return s.list()
}

func (s *side) summary() Side {
	return Side{
		Path: s.path, Name: s.info.Name, Version: s.info.Version, Platform: s.info.Platform,
		RootHash: s.entry.RootHash.String(), UsrSize: s.slot.UsrSize, Files: len(s.files),
	}
}
