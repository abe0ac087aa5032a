package image

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/internal/imagelayout/layouttest"
)

// pushed is an image in a registry of this test's own, and its reference.
func pushed(t *testing.T, config v1.Config) (ref string, image v1.Image) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	layer, err := random.Layer(1000, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.AppendLayers(empty.Image, layer, layer)
	if err == nil {
		image, err = mutate.ConfigFile(image, configFile(t, image, config))
	}
	if err != nil {
		t.Fatal(err)
	}
	ref = strings.TrimPrefix(server.URL, "http://") + "/shop/web:1"
	tag, err := name.NewTag(ref)
	if err == nil {
		err = remote.Write(tag, image)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref, image
}

func configFile(t *testing.T, image v1.Image, config v1.Config) *v1.ConfigFile {
	t.Helper()
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", "amd64", config
	return file
}

// TestCargoIsPulled: an image that a Compose file names and nobody brings comes from
// its registry; its tag is locked, and what is packed is what the machine accepts.
func TestCargoIsPulled(t *testing.T) {
	ref, image := pushed(t, v1.Config{Entrypoint: []string{"/web"}})
	dir := t.TempDir()
	text := "services:\n  web:\n    image: " + ref + "\n    network_mode: host\n"
	if err := os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := LoadDefinition(writeDefinition(t, dir, "d.yaml", goodDefinition+"workloads:\n- compose: shop.yaml\n"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := oci.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lock, err := oci.LoadLock(filepath.Join(dir, "d.lock"))
	if err != nil {
		t.Fatal(err)
	}
	from := Source{Client: &oci.Client{Lock: lock}, Cache: cache}
	none := func(context.Context) (map[string]string, error) { return nil, nil }
	c, err := from.openCargo(t.Context(), d, none)
	if err != nil {
		t.Fatal(err)
	}
	s := &Stack{Tree: tree.New(tree.Policy{})}
	defer s.Close()
	if err := c.pack(t.Context(), from, d, s); err != nil {
		t.Fatal(err)
	}
	if err := checkWorkloads(s.Tree); err != nil {
		t.Errorf("checkWorkloads = %v; want what was packed accepted", err)
	}
	digest, _ := image.Digest()
	config, _ := image.ConfigName()
	if len(s.Cargo) != 1 || s.Cargo[0].Ref != ref || s.Cargo[0].Digest != digest.String() || len(s.Cargo[0].Layers) != 2 {
		t.Errorf("cargo = %+v; want %s with digest %s", s.Cargo, ref, digest)
	}
	if s.Tree.Lookup("usr/share/ketch/images/workloads/blobs/sha256/"+config.Hex) == nil {
		t.Error("the configuration is not the image's own, byte by byte")
	}
	if err := lock.Save(filepath.Join(dir, "d.lock")); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "d.lock")); !strings.Contains(string(text), digest.String()) {
		t.Errorf("lock = %s; want %s in it", text, digest)
	}
	history := s.Tree.Why("usr/share/ketch/images/workloads/blobs/sha256/" + config.Hex)
	if place := history[len(history)-1].Origin.Place; !strings.HasSuffix(place, "shop.yaml:3") {
		t.Errorf("the image comes from %s; want the line of the Compose file", place)
	}
}

// TestCheckImages: what ketchd could not import is found when an image is built.
func TestCheckImages(t *testing.T) {
	good := func() (layouttest.Files, string) {
		f := layouttest.Files{}
		image := f.Image("amd64", "layer")
		return f.Index(image), "blobs/sha256/" + image.Digest.Encoded()
	}
	for _, test := range []struct {
		name string
		tar  func() []byte
		want string // "": accepted
	}{
		{"good", func() []byte { f, _ := good(); return f.Tar() }, ""},
		{"docker's own form", func() []byte { return layouttest.Files{"manifest.json": []byte("[]")}.Tar() }, "an archive in Docker's own format"},
		{"cut short", func() []byte { f, _ := good(); data := f.Tar(); return data[:len(data)/2] }, "EOF"},
		{"no manifest", func() []byte { f, manifest := good(); delete(f, manifest); return f.Tar() }, "file does not exist"},
		{"another manifest", func() []byte { f, manifest := good(); f[manifest] = []byte("{}"); return f.Tar() }, "its content is another"},
		{"for another machine", func() []byte { f := layouttest.Files{}; return f.Index(f.Image("arm64", "layer")).Tar() }, "the image is for linux/arm64, not for linux/amd64"},
	} {
		tr := tree.New(tree.Policy{})
		data := test.tar()
		if err := tr.Put("usr/share/ketch/images/demo.tar", tree.File(data, 0o644, time.Unix(0, 0)), nil); err != nil {
			t.Fatal(err)
		}
		images, err := checkImages(tr)
		if test.want == "" {
			if diff := cmp.Diff(map[string]string{"docker.io/library/demo:latest": "usr/share/ketch/images/demo.tar"}, images); err != nil || diff != "" {
				t.Errorf("%s: %v; images (-want +got):\n%s", test.name, err, diff)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "usr/share/ketch/images/demo.tar") {
			t.Errorf("%s: checkImages = %v; want the file and %q", test.name, err, test.want)
		}
	}
}
