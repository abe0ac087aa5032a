// Package manifest lists everything that a tree of files says, in one form for
// two sources: an EROFS image as our reader sees it, and a directory as a kernel
// shows it. Tests compare the two.
package manifest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/erofs"
)

// Entry is one name. Byte strings are quoted, so that it survives JSON.
type Entry struct {
	Path   string // from the root, which is "."
	Inode  string // the first name of the same file
	Mode   uint32 // as in stat(2)
	Links  uint32
	UID    uint32
	GID    uint32
	Device uint32 `json:",omitempty"`
	Size   int64
	Sec    int64 // of the time of modification
	Nsec   int
	Target string            `json:",omitempty"` // of a symbolic link
	SHA256 string            `json:",omitempty"` // of a regular file
	Xattrs map[string]string `json:",omitempty"`
}

const (
	typeMask    = 0o170000
	typeRegular = 0o100000
	typeSymlink = 0o120000
)

// lister gives names of one file the same Inode.
type lister[K comparable] struct {
	entries []Entry
	first   map[K]string
}

func (l *lister[K]) add(inode K, e Entry) {
	if l.first == nil {
		l.first = map[K]string{}
	}
	if _, seen := l.first[inode]; !seen {
		l.first[inode] = e.Path
	}
	e.Inode = l.first[inode]
	l.entries = append(l.entries, e)
}

// OfImage lists an image, in the order of the tree.
func OfImage(f *erofs.FS) ([]Entry, error) {
	var l lister[uint64]
	err := f.Walk(func(name string, s *erofs.Stat) error {
		e := Entry{
			Path: quoted(name), Mode: s.Mode, Links: s.Nlink, UID: s.UID, GID: s.GID, Device: s.Rdev, Size: s.Size,
			Sec: s.Mtime.Unix(), Nsec: s.Mtime.Nanosecond(),
		}
		xattrs, err := f.Xattrs(s)
		if err != nil {
			return err
		}
		for attribute, value := range xattrs {
			e.xattr(attribute, value)
		}
		err = e.content(func() (io.ReadCloser, error) { return f.Open(name) }, func() (string, error) { return f.ReadLink(name) })
		l.add(s.NID, e)
		return err
	})
	return l.entries, err
}

// OfDirectory lists a directory of this machine, in the order of the tree.
func OfDirectory(root string) ([]Entry, error) {
	var l lister[uint64]
	err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		var s unix.Stat_t
		if err := unix.Lstat(name, &s); err != nil {
			return fmt.Errorf("lstat %s: %w", name, err)
		}
		e := Entry{
			Path: quoted(relative), Mode: s.Mode, Links: uint32(s.Nlink), UID: s.Uid, GID: s.Gid, Device: uint32(s.Rdev), Size: s.Size,
			Sec: s.Mtim.Sec, Nsec: int(s.Mtim.Nsec),
		}
		if err := e.readXattrs(name); err != nil {
			return err
		}
		err = e.content(func() (io.ReadCloser, error) { return os.Open(name) }, func() (string, error) { return os.Readlink(name) })
		l.add(s.Ino, e)
		return err
	})
	return l.entries, err
}

// content adds what a file or link holds.
func (e *Entry) content(open func() (io.ReadCloser, error), readLink func() (string, error)) error {
	switch e.Mode & typeMask {
	case typeSymlink:
		target, err := readLink()
		e.Target = quoted(target)
		return err
	case typeRegular:
		r, err := open()
		if err != nil {
			return err
		}
		defer r.Close()
		hash := sha256.New()
		_, err = io.Copy(hash, r)
		e.SHA256 = fmt.Sprintf("%x", hash.Sum(nil))
		return err
	}
	return nil
}

func (e *Entry) readXattrs(name string) error {
	list := make([]byte, 1<<16)
	n, err := unix.Llistxattr(name, list)
	if err != nil {
		return fmt.Errorf("llistxattr %s: %w", name, err)
	}
	value := make([]byte, 1<<16)
	for attribute := range strings.SplitSeq(string(list[:n]), "\x00") {
		if attribute == "" {
			continue
		}
		n, err := unix.Lgetxattr(name, attribute, value)
		if err != nil {
			return fmt.Errorf("lgetxattr %s %s: %w", name, attribute, err)
		}
		e.xattr(attribute, value[:n])
	}
	return nil
}

// xattr adds an attribute: its value where that is short, its digest otherwise.
func (e *Entry) xattr(name string, value []byte) {
	if e.Xattrs == nil {
		e.Xattrs = map[string]string{}
	}
	text := fmt.Sprintf("%x", value)
	if len(value) > 64 {
		text = fmt.Sprintf("%d bytes, SHA-256 %x", len(value), sha256.Sum256(value))
	}
	e.Xattrs[quoted(name)] = text
}

// quoted is a string of any bytes in ASCII.
func quoted(s string) string { return strings.TrimSuffix(fmt.Sprintf("%+q", s)[1:], `"`) }
