package fat

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// Check looks for what Open, which follows one FAT from the root, does not need:
//
//   - a backup of the boot sector that is the same;
//   - the same entries in every FAT;
//   - a volume that was left clean;
//   - clusters that are in use but belong to nothing;
//   - the count of free clusters;
//   - . and .. in every directory.
//
// Volumes that other systems have changed pass as long as they are whole.
// Pristine is the stricter check.
func (f *FS) Check() error {
	for _, step := range []func() error{f.checkBackup, f.checkMirrors, f.checkFAT, f.checkDots} {
		if err := step(); err != nil {
			return fmt.Errorf("check FAT32 volume: %w", err)
		}
	}
	return nil
}

func (f *FS) checkBackup() error {
	number := int64(f.boot.BkBootSec)
	if number == 0 || number >= f.reserved {
		return fmt.Errorf("boot sector: backup at sector %d", number)
	}
	raw := make([]byte, 512)
	if err := fixed.ReadAt(f.r, raw, number*f.sector); err != nil {
		return fmt.Errorf("backup boot sector: %w", err)
	}
	if !bytes.Equal(raw, encode(f.boot)) {
		return errors.New("backup boot sector: differs from the boot sector")
	}
	return nil
}

// checkMirrors compares the other FATs with the first, unless the volume says
// that they are not mirrored.
func (f *FS) checkMirrors() error {
	if f.boot.ExtFlags&0x80 != 0 {
		return nil
	}
	size := f.fatSectors * f.sector
	first := make([]byte, 1<<16)
	other := make([]byte, len(first))
	for at := int64(0); at < size; at += int64(len(first)) {
		n := min(int64(len(first)), size-at)
		if err := fixed.ReadAt(f.r, first[:n], f.fatOffset(0)+at); err != nil {
			return fmt.Errorf("FAT 1: %w", err)
		}
		for i := int64(1); i < f.fats; i++ {
			if err := fixed.ReadAt(f.r, other[:n], f.fatOffset(i)+at); err != nil {
				return fmt.Errorf("FAT %d: %w", i+1, err)
			}
			if d := fixed.Difference(first[:n], other[:n]); d >= 0 {
				return fmt.Errorf("FAT %d: entry %d differs from FAT 1", i+1, (at+int64(d))/4)
			}
		}
	}
	return nil
}

// checkFAT looks at entry 1, for lost clusters, and counts free ones.
func (f *FS) checkFAT() error {
	table := fatReader{FS: f}
	first, err := table.entry(1)
	if err != nil {
		return err
	}
	if first&cleanBits != cleanBits || f.boot.Reserved1&1 != 0 {
		return errors.New("FAT: the volume was not left clean")
	}
	free := uint32(0)
	for cluster := int64(2); cluster < f.clusters+2; cluster++ {
		entry, err := table.entry(uint32(cluster))
		switch {
		case err != nil:
			return err
		case entry == 0:
			free++
		case entry != badCluster && !f.used.has(cluster):
			return fmt.Errorf("FAT: cluster %#x is in use but belongs to nothing", cluster)
		}
	}
	return f.checkInfo(free)
}

func (f *FS) checkInfo(free uint32) error {
	number := int64(f.boot.FSInfo)
	if number == 0 || number >= f.reserved {
		return fmt.Errorf("boot sector: FSInfo at sector %d", number)
	}
	raw := make([]byte, 512)
	if err := fixed.ReadAt(f.r, raw, number*f.sector); err != nil {
		return fmt.Errorf("FSInfo sector: %w", err)
	}
	var info infoSector
	decode(raw, &info)
	const unknown = 0xffffffff
	switch {
	case info.LeadSig != leadSig || info.StrucSig != strucSig || info.TrailSig != trailSig:
		return errors.New("FSInfo sector: no signature")
	case info.FreeCount != unknown && info.FreeCount != free:
		return fmt.Errorf("FSInfo sector: says %d clusters are free, %d are", info.FreeCount, free)
	case info.NxtFree != unknown && !f.valid(info.NxtFree):
		return fmt.Errorf("FSInfo sector: next free cluster %#x", info.NxtFree)
	}
	return nil
}

// checkDots checks the first two entries of every directory but the root.
func (f *FS) checkDots() error {
	return f.root.walk(func(dir, parent *node) error {
		raw := make([]byte, 2*entrySize)
		if err := fixed.ReadAt(f.r, raw, dir.extents[0].Offset); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		var self, up shortEntry
		decode(raw, &self)
		decode(raw[entrySize:], &up)
		want := parent.entry.cluster() // 0 for the root
		if self.Name != dot || self.Attr&attrDir == 0 || self.cluster() != dir.entry.cluster() {
			return fmt.Errorf("%s: its entry . does not lead to itself", dir)
		}
		if up.Name != dotDot || up.Attr&attrDir == 0 || up.cluster() != want {
			return fmt.Errorf("%s: its entry .. does not lead to its parent", dir)
		}
		return nil
	})
}

// walk visits every directory below n.
func (n *node) walk(visit func(dir, parent *node) error) error {
	for _, child := range n.children {
		if !child.dir {
			continue
		}
		if err := visit(child, n); err != nil {
			return err
		}
		if err := child.walk(visit); err != nil {
			return err
		}
	}
	return nil
}

// Renamed returns the bytes of the volume that drivers may change when they give
// files of one directory other names, as long as they need no new cluster for
// it: all of the directory, the times in every other directory's entries, the
// attribute that marks such an entry's directory for a backup, where it is set, and
// FSInfo's counts, which Check looks at.
func (f *FS) Renamed(directory string) ([]Extent, error) {
	renamed, err := f.find("renamed", directory)
	if err != nil {
		return nil, err
	}
	counts := int64(f.boot.FSInfo)*f.sector + infoCounts
	spans := append(slices.Clone(renamed.extents), Extent{counts, 8})
	each := func(dir, _ *node) error {
		if dir == renamed {
			return nil
		}
		marks, err := f.marks(dir)
		spans = append(spans, marks...)
		return err
	}
	return spans, errors.Join(each(f.root, nil), f.root.walk(each))
}

// infoCounts is where FreeCount and NxtFree stand in the FSInfo sector.
const infoCounts = 488

// marks are where the entries of a directory hold what a change below them leaves
// (fatgen103, "FAT 32 Byte Directory Entry Structure"): the times, CrtTimeTenth to
// LstAccDate, WrtTime and WrtDate; and DIR_Attr of a directory that has ATTR_ARCHIVE,
// which EDK2's driver sets and Write does not.
func (f *FS) marks(dir *node) (spans []Extent, err error) {
	for _, x := range dir.extents {
		raw := make([]byte, x.Length)
		if err := fixed.ReadAt(f.r, raw, x.Offset); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		for at := int64(0); at < x.Length && raw[at] != entryEnd; at += entrySize {
			if raw[at] != entryFree && raw[at+11]&attrLongMask != attrLong {
				spans = append(spans, Extent{x.Offset + at + 13, 7}, Extent{x.Offset + at + 22, 4})
			}
			if raw[at] != entryFree && raw[at+11] == attrDir|attrArchive {
				spans = append(spans, Extent{x.Offset + at + 11, 1})
			}
		}
	}
	return spans, nil
}
