package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/ketch-os/ketch/internal/testkit"
)

// stored is a layer as an image keeps it, and what is in it.
type stored struct {
	Media types.MediaType
	Data  []byte // as stored
	Plain []byte // uncompressed
	URLs  []string
}

// tarOf makes an archive with one file of n random bytes.
func tarOf(t testing.TB, name string, n int) []byte {
	t.Helper()
	data := make([]byte, n)
	rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(data)
	return testkit.Tar(t, map[string][]byte{name: data})
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// threeLayers is an image's worth of layers, stored in the three ways there are.
func threeLayers(t testing.TB) []stored {
	a, b, c := tarOf(t, "a", 1_500_000), tarOf(t, "b", 10), tarOf(t, "c", 100_000)
	return []stored{
		{types.OCIUncompressedLayer, a, a, nil},
		{types.OCILayer, testkit.Gzip(b), b, nil},
		{types.OCILayerZStd, zstded(t, c), c, nil},
	}
}

func digestOf(data []byte) v1.Hash {
	sum := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// blobs are the files of a layout or the content of a registry, by digest.
type blobs map[v1.Hash][]byte

func (b blobs) add(media types.MediaType, data []byte) v1.Descriptor {
	b[digestOf(data)] = data
	return v1.Descriptor{MediaType: media, Size: int64(len(data)), Digest: digestOf(data)}
}

func (b blobs) addJSON(t testing.TB, media types.MediaType, v any) v1.Descriptor {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b.add(media, data)
}

// image adds an image of layers; edit may change its documents before they are digested.
func (b blobs) image(t testing.TB, layers []stored, edit func(*v1.Manifest, *v1.ConfigFile)) v1.Descriptor {
	t.Helper()
	config := &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"}}
	manifest := &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for _, l := range layers {
		d := b.add(l.Media, l.Data)
		d.URLs = l.URLs
		manifest.Layers = append(manifest.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digestOf(l.Plain))
	}
	if edit != nil {
		edit(manifest, config)
	}
	if manifest.Config.Size == 0 {
		manifest.Config = b.addJSON(t, types.OCIConfigJSON, config)
	}
	return b.addJSON(t, types.OCIManifestSchema1, manifest)
}

// write writes an image layout with images under their tags.
func (b blobs) write(t testing.TB, dir string, tags map[string]v1.Descriptor) {
	t.Helper()
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for tag, d := range tags {
		if tag != "" {
			d.Annotations = map[string]string{annotationRef: tag}
		}
		index.Manifests = append(index.Manifests, d)
	}
	data, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, layoutIndex), data)
	put(t, filepath.Join(dir, layoutMarker), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	for digest, data := range b {
		put(t, filepath.Join(dir, "blobs", "sha256", digest.Hex), data)
	}
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func reference(t testing.TB, text, base string) Reference {
	t.Helper()
	ref, err := ParseReference(text, base)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// pull opens an image, fetches its layers and returns their contents.
func pull(t testing.TB, c *Client, cache *Cache, ref Reference) ([][]byte, error) {
	t.Helper()
	ctx := context.Background()
	img, err := c.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	fetched, err := cache.Fetch(ctx, img.Layers, nil)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, b := range fetched {
		f, err := b.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		out = append(out, data)
	}
	return out, nil
}

func newCache(t testing.TB) *Cache {
	t.Helper()
	c, err := OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkContents compares pulled layers with what they were made of.
func checkContents(t testing.TB, got [][]byte, want []stored) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d layers; want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i].Plain) {
			t.Errorf("layer %d: %d bytes, want %d, or other content", i+1, len(got[i]), len(want[i].Plain))
		}
	}
}

// cacheFiles lists what a cache holds, without its notes.
func cacheFiles(t testing.TB, c *Cache) []string {
	t.Helper()
	var out []string
	for _, sub := range []string{"sha256", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(c.dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, fmt.Sprintf("%s/%s", sub, e.Name()))
		}
	}
	return out
}
