package imagestore

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// files is an OCI image layout being made.
type files map[string][]byte

func (f files) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	f["blobs/sha256/"+d.Encoded()] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (f files) json(mediaType string, value any) ocispec.Descriptor {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return f.blob(mediaType, data)
}

// image adds an image of one layer.
func (f files) image(architecture, layer string) ocispec.Descriptor {
	config := f.json(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: architecture}})
	d := f.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{f.blob(ocispec.MediaTypeImageLayer, []byte(layer))},
	})
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
	return d
}

func (f files) index(images ...ocispec.Descriptor) files {
	data, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: images})
	if err != nil {
		panic(err)
	}
	f["index.json"] = data
	f["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	return f
}

func (f files) dir(t *testing.T) string {
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

func (f files) tar() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o644, Size: int64(len(f[name])), Format: tar.FormatPAX, PAXRecords: map[string]string{"KETCH.test": "x"}})
		w.Write(f[name])
	}
	w.Close()
	return out.Bytes()
}

func (f files) archive(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "demo.tar")
	if err := os.WriteFile(path, f.tar(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func named(d ocispec.Descriptor, annotations map[string]string) ocispec.Descriptor {
	d.Annotations = annotations
	return d
}

func TestNames(t *testing.T) {
	f := files{}
	image := f.image("amd64", "layer")
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
		layout, err := OpenLayout(f.index(named(image, test.annotations)).archive(t))
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

// labelStore keeps the labels of a content store in memory.
type labelStore struct {
	mu     sync.Mutex
	labels map[digest.Digest]map[string]string
}

func (s *labelStore) Get(d digest.Digest) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.labels[d]), nil
}

func (s *labelStore) Set(d digest.Digest, labels map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.labels[d] = labels
	return nil
}

func (s *labelStore) Update(d digest.Digest, update map[string]string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.labels[d] == nil {
		s.labels[d] = make(map[string]string)
	}
	maps.Copy(s.labels[d], update)
	return maps.Clone(s.labels[d]), nil
}

func newStore(t *testing.T) (content.Store, *labelStore) {
	t.Helper()
	labels := &labelStore{labels: make(map[digest.Digest]map[string]string)}
	store, err := local.NewLabeledStore(t.TempDir(), labels)
	if err != nil {
		t.Fatal(err)
	}
	return store, labels
}

// held lists the blobs of a store.
func held(t *testing.T, store content.Store) []string {
	t.Helper()
	var list []string
	err := store.Walk(t.Context(), func(info content.Info) error {
		list = append(list, "blobs/sha256/"+info.Digest.Encoded())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestCopyBlobs(t *testing.T) {
	f := files{}
	wanted := f.image("amd64", "for this machine")
	blobs := slices.Sorted(maps.Keys(f))
	other := f.image("arm64", "for another")
	multi := f.json(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{other, wanted}})
	f.index(multi)
	blobs = append(blobs, "blobs/sha256/"+multi.Digest.Encoded())
	slices.Sort(blobs)
	for name, path := range map[string]string{"directory": f.dir(t), "archive": f.archive(t)} {
		t.Run(name, func(t *testing.T) {
			layout, err := OpenLayout(path)
			if err != nil {
				t.Fatal(err)
			}
			defer layout.Close()
			store, labels := newStore(t)
			for range 2 { // the second time everything is there
				if err := copyBlobs(t.Context(), store, layout, layout.Index.Manifests[0]); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(blobs, held(t, store)); diff != "" {
				t.Errorf("blobs (-want +got):\n%s", diff)
			}
			var keys []string
			for key := range labels.labels[wanted.Digest] {
				keys = append(keys, key)
			}
			if diff := cmp.Diff([]string{"containerd.io/gc.ref.content.config"}, keys); diff != "" {
				t.Errorf("labels of the manifest (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCopyBlobsRefuses(t *testing.T) {
	whole := func() (files, ocispec.Descriptor, string) {
		f := files{}
		d := f.image("amd64", "layer")
		return f.index(d), d, "blobs/sha256/" + digest.FromString("layer").Encoded()
	}
	for _, test := range []struct {
		name   string
		change func(f files, layer string)
		want   string
	}{
		{"changed layer", func(f files, layer string) { f[layer] = []byte("LAYER") }, "copy blob sha256:"},
		{"longer layer", func(f files, layer string) { f[layer] = []byte("layer and more") }, "copy blob sha256:"},
		{"shorter layer", func(f files, layer string) { f[layer] = []byte("lay") }, "copy blob sha256:"},
		{"missing layer", func(f files, layer string) { delete(f, layer) }, "file does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, _, layer := whole()
			test.change(f, layer)
			layout, err := OpenLayout(f.archive(t))
			if err != nil {
				t.Fatal(err)
			}
			defer layout.Close()
			store, _ := newStore(t)
			err = copyBlobs(t.Context(), store, layout, layout.Index.Manifests[0])
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("copyBlobs = %v; want an error with %q", err, test.want)
			}
		})
	}
}

func TestOpenLayoutRefuses(t *testing.T) {
	f := files{}
	image := f.image("amd64", "layer")
	good := f.index(image).tar()
	dir := t.TempDir()
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"torn":        {good[:len(good)/2], "EOF"},
		"empty":       {nil, "no index.json"},
		"no tar":      {bytes.Repeat([]byte("x"), 1024), "tar"},
		"no index":    {files{"a": nil}.tar(), "no index.json"},
		"bad index":   {files{"index.json": []byte("{")}.tar(), "decode index.json"},
		"no images":   {files{}.index().tar(), "names no image"},
		"large index": {files{"index.json": make([]byte, maxIndex+1)}.tar(), "over the limit"},
	} {
		path := filepath.Join(dir, "x.tar")
		if err := os.WriteFile(path, test.data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := OpenLayout(path)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: OpenLayout = %v; want %q and the path", name, err, test.want)
		}
	}
	if _, err := OpenLayout(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("OpenLayout of nothing = %v", err)
	}
}

func TestBlobStaysInside(t *testing.T) {
	layout, err := OpenLayout(files{}.index(ocispec.Descriptor{}).dir(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []digest.Digest{"sha256:../../../../etc/passwd", "", "sha256:", "../x:00"} {
		if _, err := layout.Blob(d); err == nil || os.IsNotExist(err) {
			t.Errorf("Blob(%q) = %v; want it refused", d, err)
		}
	}
}

func FuzzOpenLayout(f *testing.F) {
	good := files{}
	good.index(good.image("amd64", "layer"))
	f.Add(good.tar())
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
