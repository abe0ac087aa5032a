package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// stamp is what tells a range of a file from all others and from itself after a
// change: its name and place, the file's inode, size and times. The time of the
// last change (ctime) cannot be set by a program.
func (s section) stamp() (string, error) {
	path, err := filepath.Abs(s.path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("stat %s: no inode", path)
	}
	return fmt.Sprintf("%q %d+%d inode %d:%d size %d mtime %d.%09d ctime %d.%09d\n", path, s.offset, s.size,
		st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec), nil
}

// changed is when the file of a section last changed.
func (s section) changed() (time.Time, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return time.Time{}, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix()), nil
	}
	return info.ModTime(), nil
}
