package tree

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
)

// DroppedXattr is an extended attribute that the policy has dropped.
type DroppedXattr struct {
	Name  string
	Image string
	Files int // how many of the image's files had it
}

// DroppedXattrs returns the extended attributes that the policy has dropped, by
// image and name.
func (t *Tree) DroppedXattrs() []DroppedXattr {
	var list []DroppedXattr
	for d, files := range t.dropped {
		d.Files = files
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b DroppedXattr) int {
		return cmp.Or(cmp.Compare(a.Image, b.Image), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// dropXattrs takes the attributes that the policy drops off an entry.
func (a application) dropXattrs(e entry) {
	for name := range e.Xattrs {
		if a.t.policy.dropsXattr(name) {
			delete(e.Xattrs, name)
			a.t.dropped[DroppedXattr{Name: name, Image: a.by.Image}]++
		}
	}
}

func (p Policy) dropsXattr(name string) bool {
	return slices.ContainsFunc(p.Xattrs, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

func (p Policy) checkXattrs() error {
	for _, pattern := range p.Xattrs {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("policy for extended attributes %q: not a pattern", pattern)
		}
	}
	return nil
}

// overlayXattrs change what overlayfs shows of a directory or file: a layer that
// has them is not what its maker saw (Linux, Documentation/filesystems/overlayfs).
// The others of overlayfs are its notes to itself.
var overlayXattrs = []string{"opaque", "redirect", "metacopy", "whiteout", "whiteouts"}

// checkXattrs refuses what is no name of an attribute, more than a file can
// have, and what means something to overlayfs: it would turn into whiteouts on
// the running system.
func (e entry) checkXattrs() error {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		total += len(name) + len(e.Xattrs[name])
		if name == "" || len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
			return fmt.Errorf("extended attribute %.40q: not a name", name)
		}
		for _, prefix := range []string{"trusted.overlay.", "user.overlay."} {
			if what, ok := strings.CutPrefix(name, prefix); ok {
				return overlayError(name, prefix, what)
			}
		}
	}
	if total > maxXattrs {
		return fmt.Errorf("%d bytes of extended attributes are more than %d", total, maxXattrs)
	}
	return nil
}

func overlayError(name, prefix, what string) error {
	err := fmt.Errorf("extended attribute %s belongs to overlayfs", name)
	if slices.Contains(overlayXattrs, what) {
		return hint.Add(err, "the layer was made from the upper directory of an overlay: export it with the container engine instead")
	}
	return hint.Add(err, "it is a note of the system that made the layer: drop it with policy: xattrs: [%s*] in the definition", prefix)
}

// xattrError explains an attribute that the file system of an image has no place for.
func xattrError(name string, err error) error {
	pattern := name
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		pattern = name[:i+1] + "*"
	}
	return hint.Add(fmt.Errorf("extended attribute %q: %w", name, err),
		"Linux has no attribute of this name: drop it with policy: xattrs: [%q] in the definition", pattern)
}
