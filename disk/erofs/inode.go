package erofs

import (
	"encoding/binary"
	"io"
	"io/fs"
	"math"
	"time"
)

// Stat is what an inode says, as stat(2) would. It is what Sys of a file's
// fs.FileInfo returns, as a pointer.
type Stat struct {
	NID      uint64 // the number of the inode
	Mode     uint32
	Nlink    uint32
	UID, GID uint32
	Rdev     uint32 // of a device, see Inode
	Size     int64
	Mtime    time.Time
}

// Device splits the number of a device, which is in the form of the kernel's
// new_encode_dev: 12 bits of major among 20 bits of minor.
func (s *Stat) Device() (major, minor uint32) {
	return s.Rdev >> 8 & 0xfff, s.Rdev&0xff | s.Rdev>>12&0xfff00
}

// inode is an inode as read, its data known to lie within the image.
type inode struct {
	Stat
	pos      int64 // of the inode in the image
	xattrPos int64
	xattrs   int64 // bytes of extended attributes
	head     int64 // bytes of data in blocks, the rest lies behind the inode
	headPos  int64
	tailPos  int64
}

func (i *inode) isDir() bool     { return i.Mode&typeMask == typeDir }
func (i *inode) isSymlink() bool { return i.Mode&typeMask == typeSymlink }

// inode reads and checks an inode.
func (f *FS) inode(nid uint64) (*inode, error) {
	pos := int64(f.super.MetaBlock) * BlockSize
	if nid > uint64(f.size)/slotSize {
		return nil, corrupt("inode %d lies outside of it", nid)
	}
	pos += int64(nid) * slotSize
	disk, err := f.readInode(pos)
	if err != nil {
		return nil, err
	}
	in := &inode{
		Stat: Stat{
			NID: nid, Mode: uint32(disk.Mode), Nlink: disk.Nlink, UID: disk.UID, GID: disk.GID,
			Size: int64(disk.Size), Mtime: unixTime(disk.Mtime, disk.MtimeNsec),
		},
		pos: pos, xattrPos: pos + compactSize, xattrs: xattrSpace(disk.XattrCount),
	}
	if disk.Format&formatExtended != 0 {
		in.xattrPos = pos + extendedSize
	}
	in.tailPos = in.xattrPos + in.xattrs
	return in, f.locate(in, disk)
}

// readInode reads an inode of either form.
func (f *FS) readInode(pos int64) (e extendedInode, err error) {
	raw := make([]byte, extendedSize)
	if err := f.readAt(raw[:compactSize], pos); err != nil {
		return e, err
	}
	var c compactInode
	if _, err := binary.Decode(raw, binary.LittleEndian, &c); err != nil {
		return e, err
	}
	if c.Format&formatExtended == 0 {
		return extendedInode{
			Format: c.Format, XattrCount: c.XattrCount, Mode: c.Mode, Size: uint64(c.Size), Data: c.Data,
			UID: uint32(c.UID), GID: uint32(c.GID), Nlink: uint32(c.Nlink),
			Mtime: f.super.BuildTime, MtimeNsec: f.super.BuildTimeNsec,
		}, nil
	}
	if err := f.readAt(raw, pos); err != nil {
		return e, err
	}
	_, err = binary.Decode(raw, binary.LittleEndian, &e)
	return e, err
}

// locate finds the data of an inode and checks that it lies within the image.
func (f *FS) locate(in *inode, disk extendedInode) error {
	if disk.Size > math.MaxInt64 {
		return corrupt("inode %d has %d bytes", in.NID, disk.Size)
	}
	if disk.MtimeNsec >= 1e9 {
		return corrupt("inode %d has %d nanoseconds", in.NID, disk.MtimeNsec)
	}
	if in.tailPos > f.size {
		return corrupt("inode %d ends outside of it", in.NID)
	}
	switch in.Mode & typeMask {
	case typeChar, typeBlock:
		in.Rdev = disk.Data
		return nil
	case typeFIFO, typeSocket:
		return nil
	case typeRegular, typeDir, typeSymlink:
		return f.locateData(in, disk)
	}
	return corrupt("inode %d has the unknown mode %#o", in.NID, in.Mode)
}

func (f *FS) locateData(in *inode, disk extendedInode) error {
	in.head, in.headPos = in.Size, int64(disk.Data)*BlockSize
	switch layout := disk.Format >> 1; layout {
	case layoutPlain:
	case layoutInline:
		in.head = in.Size / BlockSize * BlockSize
		if tail := in.Size - in.head; tail > 0 && in.tailPos%BlockSize+tail > BlockSize {
			return corrupt("inline data of inode %d crosses the end of a block", in.NID)
		}
		if in.tailPos+in.Size-in.head > f.size {
			return corrupt("inline data of inode %d ends outside of it", in.NID)
		}
	case layoutCompressed, layoutCompressedCompact:
		return unsupported("compressed inode %d", in.NID)
	case layoutChunks:
		return unsupported("inode %d of chunks", in.NID)
	default:
		return corrupt("inode %d has the unknown format %#x", in.NID, disk.Format)
	}
	if in.head > 0 && (in.head > f.size || in.headPos > f.size-in.head) {
		return corrupt("data of inode %d ends outside of it", in.NID)
	}
	return nil
}

// data is the content of an inode: an io.ReaderAt over its two parts.
type data struct {
	f  *FS
	in *inode
}

// content returns a reader of the data of an inode.
func (f *FS) content(in *inode) *io.SectionReader {
	return io.NewSectionReader(data{f, in}, 0, in.Size)
}

// ReadAt is only called within the data, by the SectionReader around it.
func (d data) ReadAt(p []byte, off int64) (n int, err error) {
	if off < d.in.head {
		n = int(min(int64(len(p)), d.in.head-off))
		if err := d.f.readAt(p[:n], d.in.headPos+off); err != nil {
			return 0, err
		}
	}
	if rest := p[n:]; len(rest) > 0 {
		err = d.f.readAt(rest, d.in.tailPos+off+int64(n)-d.in.head)
	}
	if err != nil {
		return n, err
	}
	return len(p), nil
}

// readLink returns the target of a symbolic link.
func (f *FS) readLink(in *inode) (string, error) {
	if in.Size == 0 || in.Size > maxTarget {
		return "", corrupt("link inode %d has a target of %d bytes", in.NID, in.Size)
	}
	target := make([]byte, in.Size)
	_, err := f.content(in).ReadAt(target, 0)
	if err == io.EOF {
		err = nil
	}
	return string(target), err
}

// fileMode translates a mode of stat(2).
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for _, bit := range []struct {
		mask, value uint32
		mode        fs.FileMode
	}{
		{0o4000, 0o4000, fs.ModeSetuid},
		{0o2000, 0o2000, fs.ModeSetgid},
		{0o1000, 0o1000, fs.ModeSticky},
		{typeMask, typeDir, fs.ModeDir},
		{typeMask, typeSymlink, fs.ModeSymlink},
		{typeMask, typeBlock, fs.ModeDevice},
		{typeMask, typeChar, fs.ModeDevice | fs.ModeCharDevice},
		{typeMask, typeFIFO, fs.ModeNamedPipe},
		{typeMask, typeSocket, fs.ModeSocket},
	} {
		if mode&bit.mask == bit.value {
			m |= bit.mode
		}
	}
	return m
}
