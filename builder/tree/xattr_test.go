package tree

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestDropXattrs(t *testing.T) {
	layers := lists(
		"image one; d d xattr:user.overlay.impure=y xattr:user.overlay.origin=1; f a=1 xattr:com.apple.provenance=x xattr:user.keep=1",
		"f b=1 xattr:com.apple.provenance=y; h c->b",
		"image two; f e=1 xattr:user.overlay.origin=2 xattr:security.capability=cap")
	tree, err := build(t, Policy{Xattrs: []string{"user.overlay.*", "com.apple.*"}}, layers...)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"d d", "f a=1 xattr:user.keep=1", "f b=1", "h c->b", "f e=1 xattr:security.capability=cap"}
	plain, err := build(t, Policy{}, want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain.lines(), tree.lines()); diff != "" {
		t.Errorf("tree, -want +got:\n%s", diff)
	}
	dropped := []DroppedXattr{{"com.apple.provenance", "one", 2}, {"user.overlay.impure", "one", 1}, {"user.overlay.origin", "one", 1}, {"user.overlay.origin", "two", 1}}
	if diff := cmp.Diff(dropped, tree.DroppedXattrs()); diff != "" {
		t.Errorf("DroppedXattrs(), -want +got:\n%s", diff)
	}
	if _, err := tree.EROFS("."); err != nil {
		t.Errorf("EROFS: %v", err)
	}
}

// TestForeignXattrs says of which layer an attribute is that cannot stay, and
// what to do about it.
func TestForeignXattrs(t *testing.T) {
	for _, tt := range []struct{ line, err, hint string }{
		{"d d/e xattr:user.overlay.impure=y", "layer 1 of one (sha256:1111): d/e: extended attribute user.overlay.impure belongs to overlayfs", "policy: xattrs: [user.overlay.*]"},
		{"d d/e xattr:trusted.overlay.opaque=y", "layer 1 of one (sha256:1111): d/e: extended attribute trusted.overlay.opaque belongs to overlayfs", "export it with the container engine"},
		{"f d/e=1 xattr:com.apple.provenance=x", `layer 1 of one (sha256:1111): d/e: extended attribute "com.apple.provenance": `, `policy: xattrs: ["com.apple.*"]`},
	} {
		tree, err := build(t, Policy{}, []string{"image one", tt.line})
		if err == nil {
			_, err = tree.EROFS(".")
		}
		if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("%s: %v, hint %q; want an error with %q and a hint with %q", tt.line, err, hint.Of(err), tt.err, tt.hint)
		}
	}
}

// TestXattrPolicy refuses what is no pattern.
func TestXattrPolicy(t *testing.T) {
	for pattern, good := range map[string]bool{"com.apple.*": true, "user.x": true, "": false, "user.[": false} {
		if err := (Policy{Xattrs: []string{pattern}}).Check(); (err == nil) != good {
			t.Errorf("xattrs: [%q]: %v; want good %v", pattern, err, good)
		}
	}
}

// TestReadErrorNamesLayer reads a file of a layer that has become shorter.
func TestReadErrorNamesLayer(t *testing.T) {
	l := layerOf("one", 1, archive(t, "f a=content"))
	short := &shortened{Layer: l}
	l.Blob = short
	tree := New(Policy{})
	if err := tree.Apply(l); err != nil {
		t.Fatal(err)
	}
	short.now = true
	root, err := tree.EROFS(".")
	if err != nil {
		t.Fatal(err)
	}
	r, err := root.Children["a"].Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "layer 1 of one (sha256:1111): unexpected EOF") {
		t.Errorf("read: %v; want an error that names the layer", err)
	}
}

// shortened is a layer that ends early once it has been read.
type shortened struct {
	Layer
	now bool
}

func (s *shortened) ReadAt(p []byte, off int64) (int, error) {
	if s.now {
		return 0, io.EOF
	}
	return s.Blob.ReadAt(p, off)
}
