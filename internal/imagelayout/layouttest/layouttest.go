// Package layouttest makes OCI image layouts for tests.
package layouttest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Files is an OCI image layout being made: contents by name.
type Files map[string][]byte

// Blob adds a blob.
func (f Files) Blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	f["blobs/sha256/"+d.Encoded()] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// JSON adds a document.
func (f Files) JSON(mediaType string, value any) ocispec.Descriptor {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return f.Blob(mediaType, data)
}

// Image adds an image of one layer.
func (f Files) Image(architecture, layer string) ocispec.Descriptor {
	config := f.JSON(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: architecture}})
	d := f.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{f.Blob(ocispec.MediaTypeImageLayer, []byte(layer))},
	})
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
	return d
}

// Index makes the index name images, and no others.
func (f Files) Index(images ...ocispec.Descriptor) Files {
	data, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: images})
	if err != nil {
		panic(err)
	}
	f["index.json"] = data
	f["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	return f
}

// Dir writes the layout into a directory called demo, and returns its path.
func (f Files) Dir(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "demo")
	for name, data := range f {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Tar returns the layout as a tar archive.
func (f Files) Tar() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o644, Size: int64(len(f[name])), Format: tar.FormatPAX, PAXRecords: map[string]string{"KETCH.test": "x"}})
		w.Write(f[name])
	}
	w.Close()
	return out.Bytes()
}

// Archive writes the archive into a file demo.tar, and returns its path.
func (f Files) Archive(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "demo.tar")
	if err := os.WriteFile(path, f.Tar(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
