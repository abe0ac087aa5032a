package imagestore

import (
	"maps"
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

	"github.com/ketch-os/ketch/internal/imagelayout"
	"github.com/ketch-os/ketch/internal/imagelayout/layouttest"
)

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
	f := layouttest.Files{}
	wanted := f.Image("amd64", "for this machine")
	blobs := slices.Sorted(maps.Keys(f))
	other := f.Image("arm64", "for another")
	multi := f.JSON(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{other, wanted}})
	f.Index(multi)
	blobs = append(blobs, "blobs/sha256/"+multi.Digest.Encoded())
	slices.Sort(blobs)
	for name, path := range map[string]string{"directory": f.Dir(t), "archive": f.Archive(t)} {
		t.Run(name, func(t *testing.T) {
			layout, err := imagelayout.Open(path)
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
	whole := func() (layouttest.Files, ocispec.Descriptor, string) {
		f := layouttest.Files{}
		d := f.Image("amd64", "layer")
		return f.Index(d), d, "blobs/sha256/" + digest.FromString("layer").Encoded()
	}
	for _, test := range []struct {
		name   string
		change func(f layouttest.Files, layer string)
		want   string
	}{
		{"changed layer", func(f layouttest.Files, layer string) { f[layer] = []byte("LAYER") }, "copy blob sha256:"},
		{"longer layer", func(f layouttest.Files, layer string) { f[layer] = []byte("layer and more") }, "copy blob sha256:"},
		{"shorter layer", func(f layouttest.Files, layer string) { f[layer] = []byte("lay") }, "copy blob sha256:"},
		{"missing layer", func(f layouttest.Files, layer string) { delete(f, layer) }, "file does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, _, layer := whole()
			test.change(f, layer)
			layout, err := imagelayout.Open(f.Archive(t))
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
