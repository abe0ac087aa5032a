package imagefs

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ketch-os/ketch/disk/erofs"
)

// maxHops is how many symbolic links a path may lead through, as in Linux.
const maxHops = 40

// merged are the links at the root of a machine (UAPI.9): they are followed,
// though they are in no volume and do not show.
var merged = [...]string{"bin", "sbin", "lib", "lib64"}

// resolve follows a path as a machine would: symbolic links lead through the
// whole tree, and not out of it.
func (t *Tree) resolve(name string, follow bool) (*File, error) {
	todo := strings.Split(name, "/")
	var here []string // where the path has led so far, without any link
	for hops := 0; ; {
		f, err := t.file(here)
		if err != nil {
			return nil, err
		}
		if f.Stat.Mode&typeMask == typeSymlink && (follow || len(todo) > 0) {
			if hops++; hops > maxHops {
				return nil, syscall.ELOOP
			}
			here = here[:len(here)-1]
			if strings.HasPrefix(f.Target, "/") {
				here = nil
			}
			todo = append(strings.Split(f.Target, "/"), todo...)
			continue
		}
		if len(todo) == 0 {
			return f, nil
		}
		if !f.IsDir() {
			return nil, syscall.ENOTDIR
		}
		here, todo = t.step(here, todo[0]), todo[1:]
	}
}

// step goes from a directory to a name in it.
func (t *Tree) step(here []string, next string) []string {
	switch {
	case next == "" || next == ".":
		return here
	case next == "..":
		return here[:max(0, len(here)-1)]
	case len(here) == 0 && !t.bare() && slices.Contains(merged[:], next):
		return []string{"usr", next}
	}
	return append(slices.Clip(here), next)
}

func (t *Tree) bare() bool { return t.volumes[""] != nil }

// file reads what is at a path without links, given by its elements.
func (t *Tree) file(at []string) (*File, error) {
	f := &File{Path: "/" + strings.Join(at, "/")}
	rest := at
	if t.bare() {
		f.fsys = t.volumes[""]
	} else {
		if len(at) == 0 {
			f.Stat = erofs.Stat{Mode: typeDir | 0o755, Nlink: uint32(2 + len(t.volumes))}
			return f, nil
		}
		if f.fsys, rest = t.volumes[at[0]], at[1:]; f.fsys == nil {
			return nil, fs.ErrNotExist
		}
	}
	f.name = path.Join(append([]string{"."}, rest...)...)
	return f, f.read()
}

// read fills in what the volume tells about the file.
func (f *File) read() (err error) {
	usr, ok := f.fsys.(*erofs.FS)
	if !ok {
		info, err := fs.Stat(f.fsys, f.name)
		if err == nil {
			f.Stat = statOf(info)
		}
		return err
	}
	info, err := usr.Lstat(f.name)
	if err != nil {
		return err
	}
	f.Stat = *info.Sys().(*erofs.Stat)
	return f.describe()
}

// describe fills in what Stat does not tell. It looks nothing up by its path: that
// would make a walk take longer than the number of files.
func (f *File) describe() (err error) {
	usr, ok := f.fsys.(*erofs.FS)
	if !ok {
		return nil
	}
	if f.Stat.Mode&typeMask == typeSymlink {
		if f.Target, err = usr.Target(&f.Stat); err != nil {
			return err
		}
	}
	f.Xattrs, err = usr.Xattrs(&f.Stat)
	return err
}

// statOf is a file of a volume that knows neither owners nor modes, as a machine mounts it.
func statOf(info fs.FileInfo) erofs.Stat {
	s := erofs.Stat{Mode: typeRegular | 0o755, Nlink: 1, Size: info.Size(), Mtime: info.ModTime()}
	if info.IsDir() {
		s.Mode, s.Size = typeDir|0o755, 0
	}
	if s.Mtime.IsZero() { // the root of FAT has no time
		s.Mtime = time.Unix(0, 0).UTC()
	}
	return s
}

// children lists a directory; what describe tells is left to the caller.
func (t *Tree) children(f *File) (files []*File, err error) {
	if f.fsys == nil {
		for _, name := range slices.Sorted(maps.Keys(t.volumes)) {
			volume, err := t.file([]string{name})
			if err != nil {
				return nil, err
			}
			files = append(files, volume)
		}
		return files, nil
	}
	entries, err := fs.ReadDir(f.fsys, f.name)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		child := &File{Path: path.Join(f.Path, e.Name()), fsys: f.fsys, name: path.Join(f.name, e.Name())}
		if s, ok := info.Sys().(*erofs.Stat); ok {
			child.Stat = *s
		} else {
			child.Stat = statOf(info)
		}
		files = append(files, child)
	}
	return files, nil
}
