package oslayers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/oslayers/oci"
)

// file is one entry of a layer. Everything belongs to root and has no time.
type file struct {
	typeflag byte // tar.TypeReg, tar.TypeDir or tar.TypeSymlink
	mode     fs.FileMode
	target   string // of a symbolic link
	content  source // of a regular file
}

// source is where the bytes of a regular file are.
type source interface {
	size() (int64, error)
	open() (io.ReadCloser, error)
}

// inMemory is content that was unpacked or generated.
type inMemory []byte

func (b inMemory) size() (int64, error)         { return int64(len(b)), nil }
func (b inMemory) open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }

// onDisk is content in a file of the host.
type onDisk string

func (p onDisk) size() (int64, error) {
	info, err := os.Stat(string(p))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
func (p onDisk) open() (io.ReadCloser, error) { return os.Open(string(p)) }

// contents is what a layer holds, by path: "usr/bin/ketchd". One *file under
// two paths is a hard link.
type contents map[string]*file

// roots are the places a layer may fill: usr becomes the read-only file system,
// boot feeds the UKI and the ESP.
var roots = [...]string{"usr", "boot"}

// add puts an entry at a path that is still free, and the directories above it.
func (c contents) add(name string, f *file) error {
	if err := checkPath(name); err != nil {
		return err
	}
	if old := c[name]; old != nil {
		if old.typeflag == tar.TypeDir && f.typeflag == tar.TypeDir {
			old.mode = f.mode
			return nil
		}
		return fmt.Errorf("add %s: the layer has it already", name)
	}
	if err := c.addParents(name); err != nil {
		return err
	}
	c[name] = f
	return nil
}

func (c contents) addParents(name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		switch parent := c[dir]; {
		case parent == nil:
			c[dir] = directory(0o755)
		case parent.typeflag != tar.TypeDir:
			return fmt.Errorf("add %s: %s is not a directory", name, dir)
		}
	}
	return nil
}

// checkPath accepts clean relative paths below one of the roots.
func checkPath(name string) error {
	first, _, _ := strings.Cut(name, "/")
	if !fs.ValidPath(name) || !slices.Contains(roots[:], first) {
		return fmt.Errorf("add %q: it is not a clean path under usr/ or boot/", name)
	}
	return nil
}

func directory(mode fs.FileMode) *file { return &file{typeflag: tar.TypeDir, mode: mode} }

func link(target string) *file {
	return &file{typeflag: tar.TypeSymlink, mode: 0o777, target: target}
}

func regular(mode fs.FileMode, content source) *file {
	return &file{typeflag: tar.TypeReg, mode: mode, content: content}
}

// names are the paths in the order they are archived: a directory comes before what is in it.
func (c contents) names() []string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// writeTar writes the contents as a tar whose bytes depend on nothing else.
func (c contents) writeTar(w io.Writer) error {
	archive := tar.NewWriter(w)
	first := map[*file]string{}
	for _, name := range c.names() {
		f := c[name]
		if f.typeflag == tar.TypeReg && first[f] != "" {
			if err := archive.WriteHeader(header(tar.TypeLink, name, f.mode, first[f], 0)); err != nil {
				return err
			}
			continue
		}
		first[f] = name
		if err := f.write(archive, name); err != nil {
			return fmt.Errorf("archive %s: %w", name, err)
		}
	}
	return archive.Close()
}

func (f *file) write(archive *tar.Writer, name string) error {
	switch f.typeflag {
	case tar.TypeDir:
		return archive.WriteHeader(header(tar.TypeDir, name+"/", f.mode, "", 0))
	case tar.TypeSymlink:
		return archive.WriteHeader(header(tar.TypeSymlink, name, f.mode, f.target, 0))
	}
	size, err := f.content.size()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(header(tar.TypeReg, name, f.mode, "", size)); err != nil {
		return err
	}
	r, err := f.content.open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(archive, r)
	return err
}

func header(typeflag byte, name string, mode fs.FileMode, target string, size int64) *tar.Header {
	return &tar.Header{
		Typeflag: typeflag, Name: name, Linkname: target, Mode: int64(mode), Size: size,
		Uname: "root", Gname: "root", ModTime: time.Unix(oci.Epoch, 0),
	}
}

// relative is what a link in dir says to lead to the file at name.
func relative(dir, name string) (string, error) {
	if err := errors.Join(checkPath(dir), checkPath(name)); err != nil {
		return "", err
	}
	return filepath.Rel("/"+dir, "/"+name)
}
