package imagelayout

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ketch-os/ketch/internal/imagelayout/layouttest"
)

func named(d ocispec.Descriptor, annotations map[string]string) ocispec.Descriptor {
	d.Annotations = annotations
	return d
}

func TestNames(t *testing.T) {
	f := layouttest.Files{}
	image := f.Image("amd64", "layer")
	for _, test := range []struct {
		annotations map[string]string
		want        string
	}{
		{nil, "docker.io/library/demo:latest"},
		{map[string]string{ocispec.AnnotationRefName: "1.2"}, "docker.io/library/demo:1.2"},
		{map[string]string{ocispec.AnnotationRefName: "web:1.2"}, "docker.io/library/web:1.2"},
		{map[string]string{ocispec.AnnotationRefName: "registry.example/web"}, "registry.example/web:latest"},
		{map[string]string{ocispec.AnnotationRefName: "1.2", nameAnnotation: "quay.io/a/b:3"}, "quay.io/a/b:3"},
		{map[string]string{ocispec.AnnotationRefName: "Not A Tag"}, ""},
	} {
		layout, err := Open(f.Index(named(image, test.annotations)).Archive(t))
		if err != nil {
			t.Fatal(err)
		}
		got, err := layout.Name(layout.Index.Manifests[0])
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("Name(%v) = %q, %v; want %q", test.annotations, got, err, test.want)
		}
		layout.Close()
	}
}

func TestOpenRefuses(t *testing.T) {
	f := layouttest.Files{}
	image := f.Image("amd64", "layer")
	good := f.Index(image).Tar()
	dir := t.TempDir()
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"torn":        {good[:len(good)/2], "EOF"},
		"empty":       {nil, "no index.json"},
		"no tar":      {bytes.Repeat([]byte("x"), 1024), "tar"},
		"no index":    {layouttest.Files{"a": nil}.Tar(), "no index.json"},
		"bad index":   {layouttest.Files{"index.json": []byte("{")}.Tar(), "decode index.json"},
		"no images":   {layouttest.Files{}.Index().Tar(), "names no image"},
		"large index": {layouttest.Files{"index.json": make([]byte, maxIndex+1)}.Tar(), "over the limit"},
	} {
		path := filepath.Join(dir, "x.tar")
		if err := os.WriteFile(path, test.data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open = %v; want %q and the path", name, err, test.want)
		}
	}
	if _, err := Open(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("Open of nothing = %v", err)
	}
}

func TestBlobStaysInside(t *testing.T) {
	layout, err := Open(layouttest.Files{}.Index(ocispec.Descriptor{}).Dir(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []digest.Digest{"sha256:../../../../etc/passwd", "", "sha256:", "../x:00"} {
		if _, err := layout.Blob(d); err == nil || os.IsNotExist(err) {
			t.Errorf("Blob(%q) = %v; want it refused", d, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	good := layouttest.Files{}
	good.Index(good.Image("amd64", "layer"))
	f.Add(good.Tar())
	f.Fuzz(func(t *testing.T, data []byte) {
		archive, err := listArchive(bytes.NewReader(data))
		if err != nil {
			return
		}
		layout := &Layout{base: "x", open: archive.open}
		if layout.readIndex() != nil {
			return
		}
		for _, image := range layout.Index.Manifests {
			layout.Name(image)
			if blob, err := layout.Blob(image.Digest); err == nil {
				io.Copy(io.Discard, blob)
				blob.Close()
			}
		}
	})
}
