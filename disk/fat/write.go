package fat

import (
	"encoding/binary"
	"fmt"
	"io"
)

// oemName is what fatgen103 recommends: some drivers look for it.
var oemName = [8]byte([]byte("MSWIN4.1"))

// Write makes the volume that o describes, in these steps:
//
//  1. place every directory and file; nothing is written of what does not fit;
//  2. the directories;
//  3. the files;
//  4. both FATs, as far as they are used;
//  5. the boot record and its backup.
//
// The volume must read as zeros before: a new sparse file, or a device after a
// discard that zeroes. Write leaves alone what is to be zero, so that a volume
// costs only what it holds. A volume without its boot record, after an
// error, is none.
func Write(w io.WriterAt, o Options) error {
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	label, err := volumeLabel(o.Label)
	if err != nil {
		return fmt.Errorf("write FAT32 volume: %w", err)
	}
	p, err := newPlan(o)
	if err != nil {
		return fmt.Errorf("write FAT32 volume: %w", err)
	}
	v := &volume{plan: p, w: w, options: o, label: label, stamp: newStamp(o.Time)}
	for _, step := range []func() error{v.writeDirs, v.writeFiles, v.writeFATs, v.writeBootRecords} {
		if err := step(); err != nil {
			return fmt.Errorf("write FAT32 volume: %w", err)
		}
	}
	return nil
}

// volume is a volume being written.
type volume struct {
	*plan
	w       io.WriterAt
	options Options
	label   shortName
	stamp   stamp
}

// writeAt puts bytes at an offset of the volume.
func (v *volume) writeAt(what string, b []byte, offset int64) error {
	if _, err := v.w.WriteAt(b, offset); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (v *volume) writeDirs() error {
	for _, dir := range v.dirs {
		if err := v.writeAt("directory "+dir.path, v.directory(dir), v.clusterOffset(dir.first)); err != nil {
			return err
		}
	}
	return nil
}

// directory encodes the entries of a directory: the volume label in the root,
// . and .. elsewhere, then the children, long names before short ones.
func (v *volume) directory(dir *item) []byte {
	var b []byte
	add := func(record any) { b = append(b, encode(record)...) }
	switch {
	case dir.parent != nil:
		parent := dir.parent.first
		if dir.parent.parent == nil {
			parent = 0 // fatgen103: .. of a directory in the root says cluster 0
		}
		add(v.entry(dot, attrDir, dir.first, 0))
		add(v.entry(dotDot, attrDir, parent, 0))
	case v.options.Label != "":
		add(v.entry(v.label, attrVolumeID, 0, 0))
	}
	for _, child := range dir.children {
		if needsLong(child.name, child.short) {
			for _, e := range longEntries(child.name, child.short) {
				add(e)
			}
		}
		if child.isDir() {
			add(v.entry(child.short, attrDir, child.first, 0))
		} else {
			add(v.entry(child.short, attrArchive, child.first, uint32(child.file.size())))
		}
	}
	return b
}

func (v *volume) entry(name shortName, attr uint8, first, size uint32) shortEntry {
	return shortEntry{
		Name: name, Attr: attr, FileSize: size,
		CrtTime: v.stamp.time, CrtDate: v.stamp.date, LstAccDate: v.stamp.date,
		WrtTime: v.stamp.time, WrtDate: v.stamp.date,
		FstClusHI: uint16(first >> 16), FstClusLO: uint16(first),
	}
}

func (v *volume) writeFiles() error {
	for _, it := range v.files {
		if err := v.writeFile(it); err != nil {
			return fmt.Errorf("file %s: %w", it.path, err)
		}
	}
	return nil
}

// writeFile copies exactly the size that was announced.
func (v *volume) writeFile(it *item) (err error) {
	content, err := it.file.open()
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := content.Close(); err == nil {
			err = closeErr
		}
	}()
	size := it.file.size()
	n, err := io.CopyN(io.NewOffsetWriter(v.w, v.clusterOffset(it.first)), content, size)
	switch {
	case err == io.EOF:
		return fmt.Errorf("content ends after %d of %d bytes", n, size)
	case err != nil:
		return err
	}
	switch n, err := io.ReadFull(content, make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("content goes on after its %d bytes", size)
	case err != io.EOF:
		return err
	}
	return nil
}

// writeFATs writes the entries up to the last cluster in use, in both copies.
// Every chain is one run of clusters.
func (v *volume) writeFATs() error {
	table := make([]byte, 0, 4*(v.used+rootCluster))
	add := func(entry uint32) { table = binary.LittleEndian.AppendUint32(table, entry) }
	add(mediaEntry)
	add(endOfChain) // clean bits included
	for _, items := range [][]*item{v.dirs, v.files} {
		for _, it := range items {
			for i := int64(1); i < it.clusters; i++ {
				add(it.first + uint32(i))
			}
			if it.clusters > 0 {
				add(endOfChain)
			}
		}
	}
	for i := range v.fats {
		if err := v.writeAt(fmt.Sprintf("FAT %d", i+1), table, v.fatOffset(i)); err != nil {
			return err
		}
	}
	return nil
}

// writeBootRecords writes the three sectors of the boot record: the backup, then
// the one that counts (fatgen103, "FAT32 FSInfo Sector Structure and Backup Boot Sector").
func (v *volume) writeBootRecords() error {
	record := make([]byte, bootSectors*v.sector)
	copy(record, encode(v.bootSector()))
	copy(record[infoSectorNum*v.sector:], encode(v.infoSector()))
	copy(record[2*v.sector+510:], bootSignature[:])
	if err := v.writeAt("backup boot sector", record, backupSectorNum*v.sector); err != nil {
		return err
	}
	return v.writeAt("boot sector", record, 0)
}

func (v *volume) bootSector() bootSector {
	return bootSector{
		JmpBoot:    [3]byte{0xeb, 0x58, 0x90}, // over the BPB, to BootCode
		OEMName:    oemName,
		BytsPerSec: uint16(v.sector),
		SecPerClus: uint8(v.cluster / v.sector),
		RsvdSecCnt: uint16(v.reserved),
		NumFATs:    uint8(v.fats),
		Media:      0xf8, // not removable
		SecPerTrk:  63,
		NumHeads:   255,
		HiddSec:    v.options.Hidden,
		TotSec32:   uint32(v.sectors),
		FATSz32:    uint32(v.fatSectors),
		RootClus:   rootCluster,
		FSInfo:     infoSectorNum,
		BkBootSec:  backupSectorNum,
		DrvNum:     0x80,
		BootSig:    bootSig,
		VolID:      v.options.Serial,
		VolLab:     v.label,
		FilSysType: [8]byte([]byte("FAT32   ")),
		Signature:  bootSignature,
	}
}

func (v *volume) infoSector() infoSector {
	return infoSector{
		LeadSig:   leadSig,
		StrucSig:  strucSig,
		FreeCount: uint32(v.clusters - v.used),
		NxtFree:   uint32(rootCluster + v.used - 1), // the last one given out; the search starts behind it
		TrailSig:  trailSig,
	}
}
