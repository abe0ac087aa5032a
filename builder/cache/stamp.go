package cache

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Stamp is what a file system tells of a file without reading it. It differs
// between two files, and for one file from before to after a change: a program
// can set every time but that of the last change (ctime, inode(7)).
//
// What a stamp does not show is a medium that changes its bytes by itself.
type Stamp struct {
	Device, Inode uint64
	Size          int64 // bytes
	Modified      time.Time
	Changed       time.Time // ctime: of content, name, owner or permissions
}

// StampOf reads the stamp of a file.
func StampOf(path string) (Stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}, err
	}
	return stampOf(info)
}

func stampOf(info fs.FileInfo) (Stamp, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Stamp{}, fmt.Errorf("stat %s: no inode", info.Name())
	}
	return Stamp{st.Dev, st.Ino, st.Size, time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())}, nil
}

// String is the form in which stamps are kept and compared.
func (s Stamp) String() string {
	return fmt.Sprintf("inode %d:%d size %d mtime %d.%09d ctime %d.%09d", s.Device, s.Inode, s.Size,
		s.Modified.Unix(), s.Modified.Nanosecond(), s.Changed.Unix(), s.Changed.Nanosecond())
}

// unsettled is longer than a tick of any file system's clock: the longest is
// FAT's, of two seconds.
const unsettled = 2 * time.Second

// Settled tells whether a later change is sure to show in the stamp. A file that
// has changed a moment before now could change again within the same tick of its
// file system's clock.
func (s Stamp) Settled(now time.Time) bool { return now.Sub(s.Changed) >= unsettled }
