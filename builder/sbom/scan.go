package sbom

import (
	"crypto/sha1"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/layout"
)

// binary is a file that is looked at: a program, a library, an archive of them.
type binary struct {
	name         string
	node         *tree.Node
	fileType     string
	sha1, sha256 string
	info         *debug.BuildInfo // of a Go program
}

// kinds are how programs and libraries start, and SPDX's types of file (8.3).
var kinds = []struct{ start, fileType string }{
	{"\x7fELF", "BINARY"},
	{"MZ", "BINARY"}, // PE: what the firmware runs
	{"#!", "SOURCE"}, // a script
}

// scan finds the programs and libraries of a tree and reads them. also names
// files that are looked at whatever they are. nodes are the files of the image.
func scan(t *tree.Tree, also map[string]bool) (found []*binary, nodes map[*tree.Node]bool, err error) {
	nodes = bootParts(t)
	err = t.Walk(func(name string, n *tree.Node) error {
		if !strings.HasPrefix(name, "boot/") {
			nodes[n] = true
		}
		if n.Type() != tree.TypeRegular {
			return nil
		}
		kind, err := fileType(n)
		if kind == "" && also[name] {
			kind = "ARCHIVE"
		}
		if kind != "" {
			found = append(found, &binary{name: name, node: n, fileType: kind})
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return found, nodes, readAll(found)
}

// bootParts are the files of boot/ that an image is made of. The others do not
// come into it.
func bootParts(t *tree.Tree) map[*tree.Node]bool {
	parts := map[*tree.Node]bool{}
	for _, name := range []string{
		layout.BootKernel, layout.BootRelease, layout.BootSource, layout.BootStub, layout.BootGuard, layout.BootLoader,
	} {
		if n := t.Follow(name); n != nil {
			parts[n], parts[t.Lookup(name)] = true, true
		}
	}
	return parts
}

// fileType is "" for a file that is no program and no library.
func fileType(n *tree.Node) (string, error) {
	start := make([]byte, min(4, n.Size))
	if _, err := io.ReadFull(n.Reader(), start); err != nil && err != io.EOF {
		return "", fmt.Errorf("read file of %s: %w", n.Origin, err)
	}
	for _, kind := range kinds {
		if strings.HasPrefix(string(start), kind.start) {
			return kind.fileType, nil
		}
	}
	return "", nil
}

func readAll(found []*binary) error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, b := range found {
		group.Go(func() error {
			if err := b.read(); err != nil {
				return fmt.Errorf("read %s: %w", b.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// read digests the file and asks what the Go linker wrote into it. SPDX wants
// SHA-1 of every file (8.4) and everybody else SHA-256.
func (b *binary) read() error {
	old, new := sha1.New(), sha256.New()
	buffer := make([]byte, 256<<10)
	if _, err := io.CopyBuffer(io.MultiWriter(old, new), onlyReader{b.node.Reader()}, buffer); err != nil {
		return err
	}
	b.sha1, b.sha256 = hex.EncodeToString(old.Sum(nil)), hex.EncodeToString(new.Sum(nil))
	if info, err := buildinfo.Read(b.node.Reader()); err == nil { // an error: it is no Go program
		b.info = info
	}
	return nil
}

// onlyReader hides WriteTo and its small buffer.
type onlyReader struct{ io.Reader }
