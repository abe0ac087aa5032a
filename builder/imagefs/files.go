// Package imagefs reads the files of an image under one root: /usr is the file
// system of a slot, /efi is the EFI system partition. A bare EROFS file system
// is a root by itself.
package imagefs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/input"
	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/layout"
)

// Tree is the files of an image.
type Tree struct {
	volumes map[string]fs.FS // by the name of their directory; a bare file system is ""
	closer  io.Closer
}

// File is one name in the tree.
type File struct {
	Path   string // "/usr/bin/x"
	Stat   erofs.Stat
	Target string            // of a symbolic link
	Xattrs map[string][]byte // by full name
	fsys   fs.FS             // nil for the root above the volumes
	name   string            // in fsys
}

// Open opens an image, in any format that package diskfile knows, or a bare EROFS
// file system. Of an image, usr is that of
// a slot, "A" or "B", or by default that of the newest boot entry. What has to be
// unpacked becomes no larger than most, in bytes.
func Open(name, slot string, most int64) (*Tree, error) {
	f, err := input.Open(name)
	if err != nil {
		return nil, input.Explain(err, input.Image)
	}
	if erofs.Is(f) {
		return openBare(f)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	d, err := image.OpenWithin(name, most)
	if err != nil {
		return nil, err
	}
	usr, err := openUsr(d, slot)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), d.Close())
	}
	return &Tree{map[string]fs.FS{"efi": d.ESP, "usr": usr}, d}, nil
}

// Close closes the image.
func (t *Tree) Close() error { return t.closer.Close() }

func openBare(f *os.File) (*Tree, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	root, err := erofs.Open(f, size)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
	}
	return &Tree{map[string]fs.FS{"": root}, f}, nil
}

// openUsr opens usr of a slot, or of the boot entry that the boot loader would choose.
func openUsr(d *image.Disk, slot string) (*erofs.FS, error) {
	if slot == "" {
		newest, err := d.Newest()
		if err != nil {
			return nil, err
		}
		return usrOf(d, newest, "")
	}
	entries, err := d.Entries()
	for _, e := range entries {
		if usr, err := usrOf(d, e, slot); usr != nil || err != nil {
			return usr, err
		}
	}
	return nil, cmp.Or(err, fmt.Errorf("slot %s: no boot entry leads to it", slot))
}

// usrOf opens usr of a boot entry; of one that leads to another slot than
// wanted it returns none.
func usrOf(d *image.Disk, e image.Entry, slot string) (*erofs.FS, error) {
	s, err := d.Slot(e.RootHash)
	if err != nil || slot != "" && s.Name != slot {
		return nil, err
	}
	return s.FS()
}

// Lookup finds a file. A symbolic link at the end of the path is followed on request.
func (t *Tree) Lookup(name string, follow bool) (*File, error) {
	f, err := t.resolve(name, follow)
	if err != nil {
		err = &fs.PathError{Op: "look up", Path: name, Err: withoutPath(err)}
		if errors.Is(err, fs.ErrNotExist) && t.outside(name) {
			err = hint.Add(err, "an image has /usr and the ESP, /efi, and no more; what becomes /etc is in %s", layout.EtcSkeleton)
		}
		return nil, err
	}
	return f, nil
}

// outside tells whether a path lies where an image has nothing, such as in /etc.
func (t *Tree) outside(name string) bool {
	top, _, _ := strings.Cut(path.Clean("/" + name)[1:], "/")
	return !t.bare() && t.volumes[top] == nil && !slices.Contains(merged[:], top)
}

// Walk visits a file and, where it is a directory, what lies in it, sorted by
// name, down to depth levels; a depth below 0 is no limit.
func (t *Tree) Walk(name string, depth int, visit func(*File) error) error {
	top, err := t.Lookup(name, false)
	if err != nil {
		return err
	}
	return t.walk(top, depth, visit)
}

func (t *Tree) walk(f *File, depth int, visit func(*File) error) error {
	if err := visit(f); err != nil || !f.IsDir() || depth == 0 {
		return err
	}
	children, err := t.children(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, withoutPath(err))
	}
	for _, child := range children {
		if err := child.describe(); err != nil {
			return fmt.Errorf("%s: %w", child.Path, withoutPath(err))
		}
		if err := t.walk(child, depth-1, visit); err != nil {
			return err
		}
	}
	return nil
}

// IsDir tells whether the file is a directory.
func (f *File) IsDir() bool { return f.Stat.Mode&typeMask == typeDir }

// IsRegular tells whether the file is one with content.
func (f *File) IsRegular() bool { return f.Stat.Mode&typeMask == typeRegular }

// IsDevice tells whether the file is a character or block device.
func (f *File) IsDevice() bool {
	kind := f.Stat.Mode & typeMask
	return kind == typeChar || kind == typeBlock
}

// Inode identifies a file that may have several names.
type Inode struct {
	volume fs.FS
	number uint64
}

// Inode is the same for all names of a file.
func (f *File) Inode() Inode { return Inode{f.fsys, f.Stat.NID} }

// Open opens the content of a regular file.
func (f *File) Open() (io.ReadCloser, error) {
	if !f.IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: f.Path, Err: errors.New("not a regular file")}
	}
	r, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, withoutPath(err))
	}
	return r, nil
}

func (f *File) open() (io.ReadCloser, error) {
	usr, ok := f.fsys.(*erofs.FS)
	if !ok {
		return f.fsys.Open(f.name)
	}
	content, err := usr.Content(&f.Stat)
	return io.NopCloser(content), err
}

// withoutPath takes a volume's own path out of an error: the caller adds the whole one.
func withoutPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// File types, as in stat(2).
const (
	typeMask    = 0o170000
	typeDir     = 0o040000
	typeRegular = 0o100000
	typeSymlink = 0o120000
	typeChar    = 0o020000
	typeBlock   = 0o060000
)
