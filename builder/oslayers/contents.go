package oslayers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/tree"
)

// contents is what a layer holds. Everything belongs to root and has no time.
type contents struct{ *tree.Tree }

func newContents() contents { return contents{tree.New(tree.Policy{})} }

// noTime is the time of everything in a layer.
var noTime = time.Unix(0, 0)

// roots are the places a layer may fill: usr becomes the read-only file system,
// boot feeds the UKI and the ESP.
var roots = [...]string{"usr", "boot"}

// add puts an entry at a path that is still free, and the directories above it.
// One node under two paths is a hard link.
func (c contents) add(name string, n *tree.Node) error {
	if err := checkPath(name); err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if parent := c.Lookup(dir); parent != nil && !parent.IsDir() {
			return fmt.Errorf("add %s: %s is not a directory", name, dir)
		}
	}
	if old := c.Lookup(name); old != nil {
		if old.IsDir() && n.IsDir() {
			old.Mode = n.Mode
			return nil
		}
		return fmt.Errorf("add %s: the layer has it already", name)
	}
	return c.Put(name, n, nil)
}

// checkPath accepts clean relative paths below one of the roots.
func checkPath(name string) error {
	first, _, _ := strings.Cut(name, "/")
	if !fs.ValidPath(name) || !slices.Contains(roots[:], first) {
		return fmt.Errorf("add %q: it is not a clean path under usr/ or boot/", name)
	}
	return nil
}

func directory(mode fs.FileMode) *tree.Node { return tree.Dir(uint32(mode), noTime) }

func link(target string) *tree.Node { return tree.Symlink(target, noTime) }

// regular is a file whose content was unpacked or generated.
func regular(mode fs.FileMode, content []byte) *tree.Node {
	return tree.File(content, uint32(mode), noTime)
}

// hosted is a file whose content is that of a file of the host.
func hosted(mode fs.FileMode, file string) (*tree.Node, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	return tree.FileAt(hostFile(file), info.Size(), uint32(mode), noTime), nil
}

// hostFile is a file of the host that is open only while it is read: a layer may
// have thousands.
type hostFile string

// ReadAt implements io.ReaderAt.
func (p hostFile) ReadAt(b []byte, off int64) (int, error) {
	f, err := os.Open(string(p))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(b, off)
}

// relative is what a link in dir says to lead to the file at name.
func relative(dir, name string) (string, error) {
	if err := errors.Join(checkPath(dir), checkPath(name)); err != nil {
		return "", err
	}
	return filepath.Rel("/"+dir, "/"+name)
}
