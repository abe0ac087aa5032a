package fat

import (
	"bytes"
	"errors"
	"fmt"
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
	if err := readAt(f.r, raw, number*f.sector); err != nil {
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
		if err := readAt(f.r, first[:n], f.fatOffset(0)+at); err != nil {
			return fmt.Errorf("FAT 1: %w", err)
		}
		for i := int64(1); i < f.fats; i++ {
			if err := readAt(f.r, other[:n], f.fatOffset(i)+at); err != nil {
				return fmt.Errorf("FAT %d: %w", i+1, err)
			}
			if d := difference(first[:n], other[:n]); d >= 0 {
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
	if err := readAt(f.r, raw, number*f.sector); err != nil {
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
		if err := readAt(f.r, raw, dir.extents[0].Offset); err != nil {
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
