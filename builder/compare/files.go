package compare

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ketch-os/ketch/disk/erofs"
)

// Types of files in Stat.Mode, as in stat(2).
const (
	typeMask    = 0o170000
	typeRegular = 0o100000
	typeSymlink = 0o120000
)

// file is a file of usr.
type file struct {
	erofs.Stat
	target string // of a symbolic link
	xattrs map[string][]byte
}

func (f *file) regular() bool { return f.Mode&typeMask == typeRegular }

// size is what the file counts for.
func (f *file) size() int64 {
	if f == nil || !f.regular() {
		return 0
	}
	return f.Size
}

// list reads what usr holds, contents left out.
func (s *side) list() error {
	s.files = map[string]*file{}
	return s.usr.Walk(func(path string, stat *erofs.Stat) (err error) {
		f := &file{Stat: *stat}
		if f.xattrs, err = s.usr.Xattrs(stat); err != nil {
			return err
		}
		if f.Mode&typeMask == typeSymlink {
			if f.target, err = s.usr.Target(stat); err != nil {
				return err
			}
		}
		s.files[path] = f
		return nil
	})
}

func (a *side) compareFiles(b *side) ([]File, error) {
	names := map[string]bool{}
	for name := range a.files {
		names[name] = true
	}
	for name := range b.files {
		names[name] = true
	}
	var changed []File
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := File{Path: "usr/" + name, SizeA: a.files[name].size(), SizeB: b.files[name].size()}
		switch {
		case name == ".":
			f.Path = "usr"
		case a.files[name] == nil:
			f.Change = Added
		case b.files[name] == nil:
			f.Change = Removed
		}
		if f.Change == "" {
			var err error
			if f.What, err = a.compareFile(b, name); err != nil {
				return nil, fmt.Errorf("compare %s: %w", f.Path, err)
			}
			if len(f.What) == 0 {
				continue
			}
			f.Change = Changed
		}
		changed = append(changed, f)
	}
	return changed, nil
}

// compareFile compares a file that both sides have.
func (a *side) compareFile(b *side, name string) ([]Value, error) {
	x, y := a.files[name], b.files[name]
	if x.Mode&typeMask != y.Mode&typeMask {
		return []Value{{"type", kindOf(x.Mode), kindOf(y.Mode)}}, nil
	}
	var what []Value
	for _, v := range []Value{
		{"mode", fmt.Sprintf("%04o", x.Mode&^typeMask), fmt.Sprintf("%04o", y.Mode&^typeMask)},
		{"owner", fmt.Sprintf("%d:%d", x.UID, x.GID), fmt.Sprintf("%d:%d", y.UID, y.GID)},
		{"device", fmt.Sprint(x.Rdev), fmt.Sprint(y.Rdev)},
		{"target", x.target, y.target},
		{"xattrs", xattrText(x.xattrs), xattrText(y.xattrs)},
	} {
		if v.A != v.B {
			what = append(what, v)
		}
	}
	if !x.regular() {
		return what, nil
	}
	same, err := a.sameContent(b, name)
	if !same {
		what = append(what, Value{Name: "content"})
	}
	return what, err
}

var kinds = map[uint32]string{
	0o010000: "FIFO", 0o020000: "character device", 0o040000: "directory", 0o060000: "block device",
	typeRegular: "file", typeSymlink: "symbolic link", 0o140000: "socket",
}

func kindOf(mode uint32) string { return kinds[mode&typeMask] }

func xattrText(xattrs map[string][]byte) string {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(xattrs)) {
		fmt.Fprintf(&out, "%s=%x ", name, xattrs[name])
	}
	return string(bytes.TrimRight(out.Bytes(), " "))
}

// sameContent compares two regular files byte by byte.
func (a *side) sameContent(b *side, name string) (bool, error) {
	if a.files[name].Size != b.files[name].Size {
		return false, nil
	}
	x, err := a.usr.Content(&a.files[name].Stat)
	if err != nil {
		return false, err
	}
	y, err := b.usr.Content(&b.files[name].Stat)
	if err != nil {
		return false, err
	}
	return sameBytes(x, y, x.Size())
}

// sameBytes compares two readers of size bytes.
func sameBytes(x, y io.Reader, size int64) (bool, error) {
	room := min(size+1, 256<<10)
	left, right := make([]byte, room), make([]byte, room)
	for {
		n, err := io.ReadFull(x, left)
		m, otherErr := io.ReadFull(y, right)
		switch {
		case !bytes.Equal(left[:n], right[:m]):
			return false, nil
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return true, nil
		case err != nil:
			return false, err
		case otherErr != nil:
			return false, otherErr
		}
	}
}
