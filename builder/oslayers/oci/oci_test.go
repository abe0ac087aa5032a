package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/ketch-os/ketch/internal/testkit"
)

// put writes an image of one file under a tag.
func put(t *testing.T, dir, tag, content string) v1.Descriptor {
	t.Helper()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	layer, err := l.WriteLayer(func(w io.Writer) error {
		_, err := w.Write(testkit.Tar(t, map[string]string{"usr/file": content}))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	image := Image{Layer: layer, Config: v1.Config{Labels: map[string]string{"a": "b"}}, Comment: "test"}
	entry, err := l.Put(tag, image, map[string]string{"inputs": content})
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// checkLayout asks go-containerregistry, whose full check knows gzip only, and
// umoci, which checks every digest.
func checkLayout(t *testing.T, dir string, tags ...string) {
	t.Helper()
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index, validate.Fast); err != nil {
		t.Errorf("validate.Index: %v", err)
	}
	for _, tag := range tags {
		bundle := filepath.Join(t.TempDir(), "bundle")
		unpack := exec.Command(testkit.Tool(t, "umoci"), "unpack", "--rootless", "--image", dir+":"+tag, bundle)
		if output, err := unpack.CombinedOutput(); err != nil {
			t.Errorf("umoci unpack %s: %v\n%s", tag, err, output)
		}
	}
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layers")
	put(t, dir, "two", "old")
	put(t, dir, "one", "1")
	want := put(t, dir, "two", "new") // moves the tag
	checkLayout(t, dir, "one", "two")

	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, layer, ok := l.Image("two")
	if !ok {
		t.Fatal("Image(two) is not there")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Image(two) (-put +got):\n%s", diff)
	}
	if got.Annotations["inputs"] != "new" {
		t.Errorf("Image(two): annotations %v", got.Annotations)
	}
	if _, _, ok := l.Image("three"); ok {
		t.Error("Image(three) is there")
	}
	manifest, err := l.manifest(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range []v1.Descriptor{layer, manifest.Config, got} {
		content, err := os.ReadFile(l.path(blob.Digest))
		if err != nil {
			t.Fatal(err)
		}
		space := bytes.LastIndexAny(content, " \x00\n:") // one byte that is JSON's or the tar's all the same
		changed := append(append(bytes.Clone(content[:space]), '\t'), content[space+1:]...)
		for name, damaged := range map[string][]byte{"truncated": content[:10], "changed": changed, "empty": nil} {
			if err := os.WriteFile(l.path(blob.Digest), damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, _, ok := l.Image("two"); ok {
				t.Errorf("Image(two) is said to be whole with a %s that was %s", blob.MediaType, name)
			}
		}
		if err := os.WriteFile(l.path(blob.Digest), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := l.Image("two"); !ok {
		t.Error("Image(two) with every blob put back is not there")
	}
}

// blobs are the names of the files under blobs/sha256.
func blobs(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "blobs/sha256"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestLayoutKeepsNothingUnnamed(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "1")
	before := blobs(t, dir)
	leftover := filepath.Join(dir, "blobs/sha256/.new-123") // of a build that was killed
	if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a", "2")
	if len(blobs(t, dir)) != len(before) {
		t.Errorf("blobs after a rebuild: %q; want three", blobs(t, dir))
	}
	put(t, dir, "a", "1")
	if diff := cmp.Diff(before, blobs(t, dir)); diff != "" {
		t.Errorf("blobs (-before +after):\n%s", diff)
	}
}

func TestFailedLayerLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	broken := errors.New("broken")
	_, err = l.WriteLayer(func(w io.Writer) error {
		w.Write(make([]byte, 3<<20))
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("WriteLayer: %v; want %v", err, broken)
	}
	if left := blobs(t, dir); len(left) > 0 {
		t.Errorf("WriteLayer left %q", left)
	}
}

func TestOpenKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open of a locked layout: %v; want %v", err, context.DeadlineExceeded)
	}
	time.AfterFunc(10*time.Millisecond, func() { l.Close() })
	second, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestOpenRefusesAForeignIndex(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("<html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil {
		t.Error("Open accepts an index that is not JSON")
	}
}

func TestArchive(t *testing.T) {
	image := Image{Config: v1.Config{Entrypoint: []string{"/server"}, User: "1000"}, Comment: "test"}
	archive, err := Archive("registry.example/demo:1", "1", testkit.Tar(t, map[string]string{"server": "program"}), image)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Archive("registry.example/demo:1", "1", testkit.Tar(t, map[string]string{"server": "program"}), image)
	if err != nil || !bytes.Equal(archive, again) {
		t.Errorf("Archive twice: different bytes, %v", err)
	}
	dir := t.TempDir()
	unpack := exec.Command(testkit.Tool(t, "tar"), "-xC", dir)
	unpack.Stdin = bytes.NewReader(archive)
	if output, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, output)
	}
	checkLayout(t, dir, "1")
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{RefName: "1", ContainerdName: "registry.example/demo:1"}
	if diff := cmp.Diff(want, manifest.Manifests[0].Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}
