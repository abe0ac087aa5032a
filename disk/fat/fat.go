// Package fat writes and reads FAT32 volumes with long names, after the Microsoft
// Extensible Firmware Initiative FAT32 File System Specification, 1.03 (cited
// as fatgen103), which UEFI 2.10, 13.3 builds on.
//
// A volume, from its first sector:
//
//	boot sector, FSInfo, … backup of both at sector 6    reserved sectors
//	FAT 1, FAT 2                                         one 32-bit entry a cluster
//	clusters 2, 3, …                                     the root directory first
//
// Write makes a whole volume at once: directories first, then the files in the
// order of their paths, every one in one piece. The same options give the same
// bytes. Open reads any FAT32 volume and trusts nothing in it.
//
// Left out: FAT12 and FAT16; changing a volume; code pages (short names that we
// write are ASCII); names in lower case without a long name (NTRes), which are read
// but not written.
package fat

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// Options describe the volume that Write makes.
type Options struct {
	Size       int64     // bytes of the volume; 33 MiB at least, 257 MiB with sectors of 4096 bytes
	SectorSize int64     // bytes: 512 or 4096; 0 means 512
	Hidden     uint32    // sectors before the volume on its disk; nothing but old BIOS code reads it
	Serial     uint32    // volume serial number
	Label      string    // at most 11 characters of capitals, digits and some signs; may be empty
	Time       time.Time // of every entry: in UTC, to 2 seconds, within 1980–2107
	Files      []File    // in any order
}

// File is a file of the volume, or an empty directory if Path ends in a slash.
// The directories that its path names are made.
type File struct {
	Path string // separated by slashes, relative to the root: EFI/BOOT/BOOTX64.EFI
	Data []byte // the content, unless Open is set

	Open func() (io.ReadCloser, error) // gives exactly Size bytes
	Size int64
}

// size returns the file's length in bytes.
func (f File) size() int64 {
	if f.Open != nil {
		return f.Size
	}
	return int64(len(f.Data))
}

// open returns the file's content.
func (f File) open() (io.ReadCloser, error) {
	if f.Open != nil {
		return f.Open()
	}
	return io.NopCloser(bytes.NewReader(f.Data)), nil
}

// SpaceError tells that the files do not fit.
type SpaceError struct {
	Size    int64 // of the volume, in bytes
	Missing int64 // how many bytes of clusters more it takes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("volume of %d bytes is too small: %d bytes (%.1f MiB) are missing", e.Size, e.Missing, float64(e.Missing)/(1<<20))
}

// stamp is a moment as directory entries hold it (fatgen103, "Date and Time Formats").
type stamp struct{ date, time uint16 }

// newStamp converts t to UTC and clamps it to what the format can say.
func newStamp(t time.Time) stamp {
	t = t.UTC()
	switch {
	case t.Year() < 1980:
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 2107:
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	return stamp{
		date: uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()),
		time: uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2),
	}
}

// moment is the inverse of newStamp. A date of zero is no date.
func (s stamp) moment() time.Time {
	if s.date == 0 {
		return time.Time{}
	}
	return time.Date(1980+int(s.date>>9), time.Month(s.date>>5&15), int(s.date&31),
		int(s.time>>11), int(s.time>>5&63), int(s.time&31)*2, 0, time.UTC)
}
