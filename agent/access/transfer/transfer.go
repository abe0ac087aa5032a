// Package transfer moves files for sftp(1) and scp(1): version 3 of the SSH File
// Transfer Protocol (draft-ietf-secsh-filexfer-02), which OpenSSH speaks.
//
// Whoever signs in to a production machine sees one directory, their own, as the
// root of it all: no link and no name leads out of it (os.Root). On a debug image,
// where they have a shell, they see the whole machine.
package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"github.com/pkg/sftp"
)

// maxOpen is how many files and directories one session may have open.
const maxOpen = 128

// Confined serves one session that sees a directory and nothing else. It returns
// when the client has done, which is no error.
func Confined(channel io.ReadWriter, directory string) error {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return fmt.Errorf("open directory for files: %w", err)
	}
	defer root.Close()
	t := &tree{root: root}
	server := sftp.NewRequestServer(stays{channel}, sftp.Handlers{FileGet: t, FilePut: t, FileCmd: t, FileList: t})
	defer server.Close()
	return ended(server.Serve())
}

// Whole serves one session that sees the whole machine, and begins in a directory.
func Whole(channel io.ReadWriter, directory string) error {
	server, err := sftp.NewServer(stays{channel}, sftp.WithServerWorkingDirectory(directory))
	if err != nil {
		return fmt.Errorf("serve files: %w", err)
	}
	defer server.Close()
	return ended(server.Serve())
}

// ended is what is wrong with how a session has ended.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// stays is a channel that is not closed: how it has ended is still to be told.
type stays struct{ io.ReadWriter }

// Close does nothing.
func (stays) Close() error { return nil }

// tree is a directory as clients see it.
type tree struct {
	root *os.Root
	open atomic.Int32
}

// inside is a path of the protocol as a name below the root.
func inside(name string) string {
	if name = strings.TrimLeft(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// file is an open one, which gives its place back.
type file struct {
	*os.File
	tree *tree
	done atomic.Bool
}

// Close closes the file. What could not be written is told here.
func (f *file) Close() error {
	if f.done.CompareAndSwap(false, true) {
		f.tree.open.Add(-1)
	}
	return f.File.Close()
}

func (t *tree) openFile(name string, flags int) (*file, error) {
	return t.take(name, flags, func(info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return errors.New("it is no file")
		}
		return nil
	})
}

// take opens what has a name, and keeps it open when it is what is wanted.
func (t *tree) take(name string, flags int, check func(fs.FileInfo) error) (*file, error) {
	if t.open.Add(1) > maxOpen {
		t.open.Add(-1)
		return nil, errors.New("too many files are open")
	}
	f, err := t.root.OpenFile(inside(name), flags, 0o644)
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil {
			err = check(info)
		}
		if err != nil {
			f.Close()
		}
	}
	if err != nil {
		t.open.Add(-1)
		return nil, err
	}
	return &file{File: f, tree: t}, nil
}

// nonBlocking keeps a FIFO that somebody has put there from holding up the session.
const nonBlocking = 0o4000 // O_NONBLOCK

// Fileread opens a file to read.
func (t *tree) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	return t.openFile(r.Filepath, os.O_RDONLY|nonBlocking)
}

// Filewrite opens a file to write. A client that appends says at which offset.
func (t *tree) Filewrite(r *sftp.Request) (io.WriterAt, error) { return t.OpenFile(r) }

// OpenFile opens a file to write, and perhaps to read.
func (t *tree) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	asked, flags := r.Pflags(), os.O_WRONLY|nonBlocking
	if asked.Read {
		flags = os.O_RDWR | nonBlocking
	}
	for flag, on := range map[int]bool{os.O_CREATE: asked.Creat, os.O_TRUNC: asked.Trunc, os.O_EXCL: asked.Excl} {
		if on {
			flags |= flag
		}
	}
	return t.openFile(r.Filepath, flags)
}

// Filecmd changes the tree.
func (t *tree) Filecmd(r *sftp.Request) error {
	name, target := inside(r.Filepath), inside(r.Target)
	switch r.Method {
	case "Setstat":
		return t.set(name, r)
	case "Rename":
		if _, err := t.root.Lstat(target); err == nil { // draft-02, 6.5: it must not replace
			return fs.ErrExist
		}
		return t.root.Rename(name, target)
	case "Mkdir":
		return t.root.Mkdir(name, 0o755)
	case "Rmdir":
		info, err := t.root.Lstat(name)
		if err == nil && !info.IsDir() {
			err = errors.New("it is no directory")
		}
		if err != nil {
			return err
		}
		return t.root.Remove(name)
	case "Remove":
		info, err := t.root.Lstat(name)
		if err == nil && info.IsDir() {
			err = errors.New("it is a directory")
		}
		if err != nil {
			return err
		}
		return t.root.Remove(name)
	case "Link":
		return t.root.Link(name, target)
	case "Symlink": // Filepath is the text of the link, which is kept as it is
		return t.root.Symlink(r.Filepath, target)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename replaces what has the new name.
func (t *tree) PosixRename(r *sftp.Request) error {
	return t.root.Rename(inside(r.Filepath), inside(r.Target))
}

// set changes what is asked for of a file. Everything belongs to root: to give it to
// somebody else is not supported, and asked for by -p of nobody's client.
func (t *tree) set(name string, r *sftp.Request) error {
	asked, to := r.AttrFlags(), r.Attributes()
	var errs []error
	if asked.UidGid {
		errs = append(errs, sftp.ErrSSHFxOpUnsupported)
	}
	if asked.Size {
		errs = append(errs, t.truncate(name, int64(to.Size)))
	}
	if asked.Permissions {
		errs = append(errs, t.root.Chmod(name, to.FileMode().Perm())) // no set-user-ID of root's
	}
	if asked.Acmodtime {
		errs = append(errs, t.root.Chtimes(name, to.AccessTime(), to.ModTime()))
	}
	return errors.Join(errs...)
}

func (t *tree) truncate(name string, size int64) error {
	f, err := t.openFile(name, os.O_WRONLY|nonBlocking)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// Filelist lists a directory, or tells of one file.
func (t *tree) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	if r.Method == "Stat" {
		info, err := t.root.Stat(inside(r.Filepath))
		return list{info}, err
	}
	dir, err := t.take(r.Filepath, os.O_RDONLY|nonBlocking, func(info fs.FileInfo) error {
		if !info.IsDir() {
			return errors.New("it is no directory")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &directory{dir}, nil
}

// directory is an open one. It is read as the client asks for more: what it holds is
// never in memory at once, however much that is.
type directory struct{ *file }

// ListAt reads the next entries. Clients have no way to ask for others.
func (d *directory) ListAt(to []fs.FileInfo, _ int64) (int, error) {
	infos, err := d.Readdir(len(to))
	return copy(to, infos), err
}

// Lstat tells of a file, and of a link as one.
func (t *tree) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := t.root.Lstat(inside(r.Filepath))
	return list{info}, err
}

// Readlink is the text of a link.
func (t *tree) Readlink(name string) (string, error) { return t.root.Readlink(inside(name)) }

// list is what is told at once.
type list []fs.FileInfo

// ListAt copies from an offset on.
func (l list) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}
