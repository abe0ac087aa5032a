package carried

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/internal/testkit"
)

// files are the files of a layout or a layer: name, content, name, content….
type files []string

func (f files) tar(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(f); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: f[i], Mode: 0o644, Size: int64(len(f[i+1])), Typeflag: tar.TypeReg, Format: tar.FormatPAX,
			PAXRecords: map[string]string{"SCHILY.xattr.user.overlay.origin": "x"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (f *files) blob(data []byte, media types.MediaType) v1.Descriptor {
	sum := sha256.Sum256(data)
	d := v1.Descriptor{MediaType: media, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	*f = append(*f, "blobs/sha256/"+d.Digest.Hex, string(data))
	return d
}

func (f *files) json(t testing.TB, v any, media types.MediaType) v1.Descriptor {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return f.blob(data, media)
}

func (f *files) image(t testing.TB, layers ...[]byte) v1.Descriptor {
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: f.json(t, v1.ConfigFile{}, types.OCIConfigJSON)}
	for _, layer := range layers {
		m.Layers = append(m.Layers, f.blob(layer, types.OCILayer))
	}
	return f.json(t, m, types.OCIManifestSchema1)
}

func (f *files) index(t testing.TB, manifests ...v1.Descriptor) {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: manifests})
	if err != nil {
		t.Fatal(err)
	}
	*f = append(*f, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`, "index.json", string(data))
}

// put puts a layout into a tree, as an archive or as a directory.
func (f files) put(t testing.TB, asDirectory bool) *tree.Tree {
	t.Helper()
	system := tree.New(tree.Policy{})
	put := func(name string, data []byte) {
		if err := system.Put(name, tree.File(data, 0o644, time.Unix(0, 0)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if !asDirectory {
		put("images/app", f.tar(t))
		return system
	}
	for i := 0; i < len(f); i += 2 {
		put("images/app/"+f[i], []byte(f[i+1]))
	}
	return system
}

// twoImages is an image of two layers under its full name, in an index with one
// for another machine, and an image without a name.
func twoImages(t testing.TB) (f files, digests []string) {
	lower, upper := files{"etc/a", "1", "etc/b", "1"}.tar(t), files{"etc/.wh.a", "", "etc/c", "2"}.tar(t)
	first, other, second := f.image(t, lower, testkit.Gzip(upper)), f.image(t), f.image(t, upper)
	other.Platform, first.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}, &v1.Platform{OS: "linux", Architecture: "amd64"}
	many := f.json(t, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{other, first}}, types.OCIImageIndex)
	many.Annotations = map[string]string{"io.containerd.image.name": "registry.example/app:1"}
	second.Annotations = map[string]string{"org.opencontainers.image.ref.name": "latest"}
	f.index(t, many, second)
	return f, []string{first.Digest.String(), second.Digest.String()}
}

func TestRead(t *testing.T) {
	f, digests := twoImages(t)
	for _, asDirectory := range []bool{false, true} {
		temp := t.TempDir()
		images, err := Read(f.put(t, asDirectory), "images/app", temp, limit.New(limit.Default, ""))
		if err != nil {
			t.Fatal(err)
		}
		if len(images) != 2 || images[0].Name != "registry.example/app:1" || images[1].Name != "" || images[0].Digest != digests[0] || images[1].Digest != digests[1] {
			t.Fatalf("Read = %+v; want the images %q, the first with a name", images, digests)
		}
		names := []string{}
		images[0].Tree.Walk(func(name string, n *tree.Node) error {
			if !n.IsDir() {
				data, err := images[0].Tree.ReadFile(name)
				names = append(names, name+"="+string(data))
				return err
			}
			return nil
		})
		if got := strings.Join(names, " "); got != "etc/b=1 etc/c=2" {
			t.Errorf("the first image has %s", got)
		}
		for _, i := range images {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	good, digests := twoImages(t)
	without := func(name string) files {
		var f files
		for i := 0; i < len(good); i += 2 {
			if !strings.HasSuffix(good[i], name) {
				f = append(f, good[i:i+2]...)
			}
		}
		return f
	}
	changed := func(change func(name, data string) string) files {
		f := append(files{}, good...)
		for i := 0; i < len(f); i += 2 {
			f[i+1] = change(f[i], f[i+1])
		}
		return f
	}
	_, second, _ := strings.Cut(digests[1], ":")
	for _, tt := range []struct {
		name  string
		files files
		want  string
	}{
		{"no index", without("index.json"), "not an OCI image layout"},
		{"no marker", without("oci-layout"), "not an OCI image layout"},
		{"docker's form", files{"manifest.json", "[]"}, "not an OCI image layout"},
		{"no manifest", without(second), "manifest sha256:" + second + ": the layout does not have it"},
		{"no JSON", changed(func(name, data string) string {
			if name == "index.json" {
				return "nonsense"
			}
			return data
		}), "index: "},
		{"a byte of a layer", changed(func(name, data string) string {
			if strings.HasPrefix(data, "\x1f\x8b") {
				return data[:len(data)-1] + "\xff"
			}
			return data
		}), "layer 2 (sha256:"},
		{"a byte of a manifest", changed(func(name, data string) string {
			if strings.HasSuffix(name, second) {
				return strings.Replace(data, "2", "3", 1)
			}
			return data
		}), "digest is sha256:"},
	} {
		temp := t.TempDir()
		if _, err := Read(tt.files.put(t, false), "images/app", temp, limit.New(limit.Default, "")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want an error with %q", tt.name, err, tt.want)
		}
		if left, err := filepath.Glob(filepath.Join(temp, "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left over: %v, %v", tt.name, left, err)
		}
	}
	for _, name := range []string{"images/none", "images"} {
		if _, err := Read(good.put(t, false), name, t.TempDir(), limit.New(limit.Default, "")); err == nil {
			t.Errorf("Read(%s): no error", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	good, _ := twoImages(f)
	f.Add(good.tar(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		system := tree.New(tree.Policy{})
		if err := system.Put("a", tree.File(data, 0o644, time.Unix(0, 0)), nil); err != nil {
			t.Fatal(err)
		}
		images, err := Read(system, "a", t.TempDir(), limit.New(limit.Default, ""))
		for _, i := range images {
			i.Close()
		}
		if err != nil && images != nil {
			t.Errorf("images and an error: %v", err)
		}
	})
}
