package oci

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestLayout(t *testing.T) {
	dir := t.TempDir()
	b, layers := blobs{}, threeLayers(t)
	one := b.image(t, layers, nil)
	two := b.image(t, layers[:1], nil)
	b.write(t, dir, map[string]v1.Descriptor{"one": one, "two": two})

	cache := newCache(t)
	for _, tt := range []struct {
		text string
		want []stored
	}{
		{"oci:.:one", layers},
		{"oci:.:two", layers[:1]},
		{"oci:.@" + one.Digest.String(), layers},
		{"oci:" + dir + ":one", layers},
	} {
		got, err := pull(t, &Client{}, cache, reference(t, tt.text, dir))
		if err != nil {
			t.Fatalf("pull(%q) = %v", tt.text, err)
		}
		checkContents(t, got, tt.want)
	}
	// The uncompressed layer stayed where it was.
	if files := cacheFiles(t, cache); len(files) != 2 {
		t.Errorf("the cache has %q; want the two layers that were compressed", files)
	}
}

// TestLayoutOfOthers reads what go-containerregistry writes.
func TestLayoutOfOthers(t *testing.T) {
	dir := t.TempDir()
	index, err := random.Index(1000, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	path, err := ocilayout.Write(dir, index)
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(5000, 4)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.ConfigFile(img, amd64(t, img)); err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img, ocilayout.WithAnnotations(map[string]string{annotationRef: "x"})); err != nil {
		t.Fatal(err)
	}
	got, err := pull(t, &Client{}, newCache(t), reference(t, "oci:.:x", dir))
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, contentsOf(t, img))
}

func amd64(t testing.TB, img v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	return config
}

func contentsOf(t testing.TB, img v1.Image) []stored {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var out []stored
	for _, l := range layers {
		rc, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if _, err := data.ReadFrom(rc); err != nil {
			t.Fatal(err)
		}
		out = append(out, stored{Plain: data.Bytes()})
	}
	return out
}

// TestBadLayouts damages a layout in every place and reads what is said about it.
func TestBadLayouts(t *testing.T) {
	layers := threeLayers(t)
	blob := func(dir string, d v1.Hash) string { return filepath.Join(dir, "blobs", "sha256", d.Hex) }
	digest := func(i int) v1.Hash { return digestOf(layers[i].Data) }
	flip := func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		put(t, path, data)
	}
	tests := []struct {
		name   string
		edit   func(*v1.Manifest, *v1.ConfigFile)
		damage func(t *testing.T, dir string, root v1.Descriptor)
		text   string // of the reference, if not oci:.:x
		want   string
		hint   string
	}{
		{name: "no such directory", text: "oci:nowhere", want: "no such file", hint: "not an OCI image layout"},
		{name: "no such tag", text: "oci:.:y", want: "no such image in the index", hint: "it has: oci:.:x"},
		{name: "no such digest", text: "oci:.@" + digest(0).String(), want: "no such image in the index"},
		{name: "no marker", damage: func(t *testing.T, dir string, _ v1.Descriptor) { os.Remove(filepath.Join(dir, layoutMarker)) },
			want: "oci-layout: no such file", hint: "not an OCI image layout"},
		{name: "index is not JSON", damage: func(t *testing.T, dir string, _ v1.Descriptor) {
			put(t, filepath.Join(dir, layoutIndex), []byte("<html>"))
		}, want: "index.json: invalid character"},
		{name: "no manifest", damage: func(t *testing.T, dir string, root v1.Descriptor) { os.Remove(blob(dir, root.Digest)) },
			want: "open oci:.:x: manifest sha256:"},
		{name: "manifest changed", damage: func(t *testing.T, dir string, root v1.Descriptor) { flip(t, blob(dir, root.Digest)) },
			want: "digest is sha256:", hint: "damaged or changed"},
		{name: "layer missing", damage: func(t *testing.T, dir string, _ v1.Descriptor) { os.Remove(blob(dir, digest(1))) },
			want: "layer 2 of oci:.:x (" + digest(1).String() + "): stat"},
		{name: "plain layer changed", damage: func(t *testing.T, dir string, _ v1.Descriptor) { flip(t, blob(dir, digest(0))) },
			want: "layer 1 of oci:.:x (" + digest(0).String() + "): digest is sha256:", hint: "damaged or changed"},
		{name: "gzip layer changed", damage: func(t *testing.T, dir string, _ v1.Descriptor) { flip(t, blob(dir, digest(1))) },
			want: "layer 2 of oci:.:x (" + digest(1).String() + "): digest is sha256:"},
		{name: "zstd layer changed", damage: func(t *testing.T, dir string, _ v1.Descriptor) { flip(t, blob(dir, digest(2))) },
			want: "layer 3 of oci:.:x (" + digest(2).String() + "): digest is sha256:"},
		{name: "plain layer truncated", damage: func(t *testing.T, dir string, _ v1.Descriptor) { os.Truncate(blob(dir, digest(0)), 512) },
			want: fmt.Sprintf("ends after 512 of %d bytes", len(layers[0].Data))},
		{name: "gzip layer truncated", damage: func(t *testing.T, dir string, _ v1.Descriptor) { os.Truncate(blob(dir, digest(1)), 20) },
			want: fmt.Sprintf("ends after 20 of %d bytes", len(layers[1].Data))},
		{name: "empty layer", damage: func(t *testing.T, dir string, _ v1.Descriptor) { os.Truncate(blob(dir, digest(2)), 0) },
			want: fmt.Sprintf("ends after 0 of %d bytes", len(layers[2].Data))},
		{name: "plain layer longer", damage: func(t *testing.T, dir string, _ v1.Descriptor) {
			put(t, blob(dir, digest(0)), append(bytes.Clone(layers[0].Data), 0))
		}, want: "longer than the"},
		{name: "gzip layer longer", damage: func(t *testing.T, dir string, _ v1.Descriptor) {
			put(t, blob(dir, digest(1)), append(bytes.Clone(layers[1].Data), make([]byte, 1000)...))
		}, want: "longer than the"},
		{name: "size of a layer wrong", edit: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[1].Size++ }, want: "ends after"},
		{name: "plain layer is not the diffID's", edit: func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs[0] = digest(1) },
			want: "layer 1 of oci:.:x (" + digest(0).String() + "): diffID is"},
		{name: "gzip layer is not the diffID's", edit: func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs[1] = digest(2) },
			want: "layer 2 of oci:.:x (" + digest(1).String() + "): diffID is"},
		{name: "a layer too few", edit: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers = m.Layers[:2] }, want: "2 layers in the manifest, 3 in the configuration"},
		{name: "for another machine", edit: func(_ *v1.Manifest, c *v1.ConfigFile) { c.Architecture = "arm64" }, want: "the image is for linux/arm64, not for linux/amd64"},
		{name: "not a layer", edit: func(m *v1.Manifest, _ *v1.ConfigFile) {
			m.Layers[0].MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
		}, want: "is not that of a layer"},
		{name: "encrypted", edit: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].MediaType += "+encrypted" }, want: "is not that of a layer", hint: "decrypt"},
		{name: "negative size", edit: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size = -1 }, want: "without digest or size"},
		{name: "no digest", edit: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Config = v1.Descriptor{Size: 5} }, want: "manifest sha256:"},
		{name: "configuration too large", edit: func(m *v1.Manifest, _ *v1.ConfigFile) {
			m.Config = v1.Descriptor{Size: maxDocument + 1, Digest: digest(0)}
		}, want: "bytes are more than"},
		{name: "foreign layer", edit: func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[1].URLs = []string{"https://vendor.example/x"} },
			damage: func(t *testing.T, dir string, _ v1.Descriptor) { os.Remove(blob(dir, digest(1))) },
			want:   "foreign layer: stat", hint: "https://vendor.example/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			b := blobs{}
			root := b.image(t, layers, tt.edit)
			b.write(t, dir, map[string]v1.Descriptor{"x": root})
			if tt.damage != nil {
				tt.damage(t, dir, root)
			}
			text := tt.text
			if text == "" {
				text = "oci:.:x"
			}
			cache := newCache(t)
			_, err := pull(t, &Client{}, cache, reference(t, text, dir))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("pull(%q) = %v; want an error with %q", text, err, tt.want)
			}
			if !strings.Contains(hint.Of(err), tt.hint) {
				t.Errorf("hint %q; want one with %q", hint.Of(err), tt.hint)
			}
			for _, name := range cacheFiles(t, cache) {
				if strings.HasPrefix(name, "tmp/") {
					t.Errorf("%s was left in the cache", name)
				}
			}
		})
	}
}

func TestForeignLayerThatIsThere(t *testing.T) {
	dir, layers := t.TempDir(), threeLayers(t)[:1]
	layers[0].Media, layers[0].URLs = types.OCIUncompressedRestrictedLayer, []string{"https://vendor.example/x"}
	b := blobs{}
	b.write(t, dir, map[string]v1.Descriptor{"": b.image(t, layers, nil)})
	got, err := pull(t, &Client{}, newCache(t), reference(t, "oci:.", dir))
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, layers)
}

func TestPlatforms(t *testing.T) {
	dir, layers := t.TempDir(), threeLayers(t)
	b := blobs{}
	arm := b.image(t, layers[:1], func(_ *v1.Manifest, c *v1.ConfigFile) { c.Architecture = "arm64" })
	arm.Platform = &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	amd := b.image(t, layers[1:], nil)
	amd.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	attestation := b.addJSON(t, types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2})
	attestation.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	root := b.addJSON(t, types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{attestation, arm, amd}})
	b.write(t, dir, map[string]v1.Descriptor{"": root})

	for _, tt := range []struct {
		arch string
		want []stored
	}{{"", layers[1:]}, {"amd64", layers[1:]}, {"arm64", layers[:1]}} {
		c := &Client{}
		if tt.arch != "" {
			c.Platform = v1.Platform{OS: "linux", Architecture: tt.arch}
		}
		got, err := pull(t, c, newCache(t), reference(t, "oci:.", dir))
		if err != nil {
			t.Fatal(err)
		}
		checkContents(t, got, tt.want)
	}
	c := &Client{Platform: v1.Platform{OS: "linux", Architecture: "riscv64"}}
	_, err := c.Open(context.Background(), reference(t, "oci:.", dir))
	if want := "no image for linux/riscv64, only for: linux/arm64/v8, linux/amd64"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v; want an error with %q", err, want)
	}
}
