package oci

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ketch-os/ketch/builder/hint"
)

// TestChoose has indexes whose images are one layer each: its number tells which
// was taken. A platform in brackets stands in the configuration only.
func TestChoose(t *testing.T) {
	layers := threeLayers(t)
	for _, tt := range []struct {
		name      string
		platforms []string
		want      int // of platforms
		err, hint string
	}{
		{name: "the baseline comes last", platforms: []string{"amd64/v3", "amd64/v2", "amd64"}, want: 2},
		{name: "the baseline by its name", platforms: []string{"amd64/v2", "amd64/v1"}, want: 1},
		{name: "only variants", platforms: []string{"amd64/v3", "amd64/v2"},
			err: "no image for linux/amd64, only for: linux/amd64/v3, linux/amd64/v2", hint: "by its digest"},
		{name: "platforms in the configurations", platforms: []string{"[arm64]", "[amd64/v3]", "[amd64]"}, want: 2},
		{name: "some in the configurations", platforms: []string{"arm64", "[amd64]"}, want: 1},
		{name: "none in either place", platforms: []string{"[arm64]", "[riscv64]"}, err: "no image for linux/amd64, only for: linux/arm64, linux/riscv64"},
		{name: "an only child", platforms: []string{"[amd64]"}, want: 0},
		{name: "an only child for another machine", platforms: []string{"[arm64]"}, err: "the image is for linux/arm64, not for linux/amd64"},
		{name: "nothing", platforms: []string{}, err: "no image for linux/amd64, nor for any other platform"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, b := t.TempDir(), blobs{}
			index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
			for i, text := range tt.platforms {
				name, silent := strings.CutPrefix(strings.TrimSuffix(text, "]"), "[")
				arch, variant, _ := strings.Cut(name, "/")
				d := b.image(t, layers[i:i+1], func(_ *v1.Manifest, c *v1.ConfigFile) { c.Architecture, c.Variant = arch, variant })
				if !silent {
					d.Platform = &v1.Platform{OS: "linux", Architecture: arch, Variant: variant}
				}
				index.Manifests = append(index.Manifests, d)
			}
			b.write(t, dir, map[string]v1.Descriptor{"": b.addJSON(t, types.OCIImageIndex, index)})
			got, err := pull(t, &Client{}, newCache(t), reference(t, "oci:.", dir))
			if tt.err != "" {
				checkError(t, tt.name, err, tt.err, tt.hint)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkContents(t, got, layers[tt.want:tt.want+1])
		})
	}
}

// TestVariantByDigest takes a variant that is named by its own digest.
func TestVariantByDigest(t *testing.T) {
	dir, layers, b := t.TempDir(), threeLayers(t)[:1], blobs{}
	d := b.image(t, layers, func(_ *v1.Manifest, c *v1.ConfigFile) { c.Variant = "v3" })
	b.write(t, dir, map[string]v1.Descriptor{"": d})
	got, err := pull(t, &Client{}, newCache(t), reference(t, "oci:.@"+d.Digest.String(), dir))
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, layers)
}

// TestOffers types in what a hint offers.
func TestOffers(t *testing.T) {
	dir, layers, b := t.TempDir(), threeLayers(t), blobs{}
	b.write(t, dir, map[string]v1.Descriptor{
		"plain": b.image(t, layers[:1], nil), "registry.example/full/name:1": b.image(t, layers[1:2], nil), "": b.image(t, layers[2:], nil),
	})
	for _, text := range []string{"oci:.", "oci:.:none", "oci:.@sha256:" + strings.Repeat("0", 64)} {
		_, err := pull(t, &Client{}, newCache(t), reference(t, text, dir))
		_, list, ok := strings.Cut(hint.Of(err), ": ")
		if !ok {
			t.Fatalf("%s: %v, hint %q", text, err, hint.Of(err))
		}
		offers := strings.Split(list, ", ")
		if len(offers) != 3 {
			t.Errorf("%s: offers %q, want three", text, offers)
		}
		for _, offer := range offers {
			if _, err := pull(t, &Client{}, newCache(t), reference(t, offer, dir)); err != nil {
				t.Errorf("%s, as %s was answered: %v", offer, text, err)
			}
		}
	}
}
