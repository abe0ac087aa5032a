package oci

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/ketch-os/ketch/internal/testkit"
)

// member is a file of an archive.
type member struct {
	name, link string
	data       []byte
}

func writeArchive(t testing.TB, path string, members []member) {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Linkname: m.link, Mode: 0o644, Size: int64(len(m.data)), Typeflag: tar.TypeReg}
		if m.link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		w.Write(m.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, path, out.Bytes())
}

// dockerArchive is what docker save wrote before 25.0.
func dockerArchive(t testing.TB, layers []stored, edit func(*v1.ConfigFile)) []member {
	t.Helper()
	config := &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"}}
	var members []member
	var files []string
	for _, l := range layers {
		id := digestOf(l.Plain)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, id)
		file := id.Hex[:12] + "/layer.tar"
		files = append(files, file)
		members = append(members, member{name: file, data: l.Plain})
	}
	if edit != nil {
		edit(config)
	}
	data := marshal(t, config)
	file := digestOf(data).Hex + ".json"
	manifest := []map[string]any{{"Config": file, "RepoTags": []string{"a:v1"}, "Layers": files}}
	return append(members, member{name: file, data: data}, member{name: dockerManifest, data: marshal(t, manifest)})
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDockerArchive(t *testing.T) {
	dir, layers := t.TempDir(), threeLayers(t)
	writeArchive(t, filepath.Join(dir, "a.tar"), dockerArchive(t, layers, nil))
	cache := newCache(t)
	got, err := pull(t, &Client{}, cache, reference(t, "archive:a.tar", dir))
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, layers)
	if files := cacheFiles(t, cache); len(files) != 0 {
		t.Errorf("the cache has copies of layers that the archive has: %q", files)
	}
}

// TestDockerArchiveNames has configurations that are not named after their
// digest, as other tools write them. The layers are still held against it.
func TestDockerArchiveNames(t *testing.T) {
	layers := threeLayers(t)
	for _, name := range []string{"config.json", "config", "blobs/config/abc.json"} {
		dir := t.TempDir()
		members := dockerArchive(t, layers, nil)
		members[4].data = bytes.Replace(members[4].data, []byte(members[3].name), []byte(name), 1)
		members[3].name = name
		writeArchive(t, filepath.Join(dir, "a.tar"), members)
		ref := reference(t, "archive:a.tar", dir)
		got, err := pull(t, &Client{}, newCache(t), ref)
		if err != nil {
			t.Fatalf("configuration %s: %v", name, err)
		}
		checkContents(t, got, layers)
		img, err := (&Client{}).Open(t.Context(), ref)
		if err != nil || img.Digest != digestOf(members[3].data) {
			t.Errorf("configuration %s: %v, %v; want the digest %s", name, img, err, digestOf(members[3].data))
		}

		members[1].data = append([]byte{'x'}, members[1].data[1:]...)
		writeArchive(t, filepath.Join(dir, "a.tar"), members)
		_, err = pull(t, &Client{}, newCache(t), ref)
		checkError(t, name, err, "layer 2 of archive:a.tar", "damaged")
	}
}

// TestDockerArchiveLinks has a layer twice, the second time as a link, and names
// that begin with "./".
func TestDockerArchiveLinks(t *testing.T) {
	dir, layers := t.TempDir(), threeLayers(t)
	layers = append(layers, layers[0])
	members := dockerArchive(t, layers, nil)
	members[3].data, members[3].link = nil, "../"+members[0].name
	members[3].name = "again/layer.tar"
	manifest := string(members[5].data)
	i := strings.LastIndex(manifest, members[0].name)
	members[5].data = []byte(manifest[:i] + members[3].name + manifest[i+len(members[0].name):])
	for i := range members {
		members[i].name = "./" + members[i].name
	}
	writeArchive(t, filepath.Join(dir, "a.tar"), members)
	got, err := pull(t, &Client{}, newCache(t), reference(t, "archive:a.tar", dir))
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, layers)
}

// TestArchiveOfOthers reads what go-containerregistry writes.
func TestArchiveOfOthers(t *testing.T) {
	dir := t.TempDir()
	img := noise(t, 3)
	tag, err := name.NewTag("a:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(filepath.Join(dir, "a.tar"), tag, img); err != nil {
		t.Fatal(err)
	}
	got, err := pull(t, &Client{}, newCache(t), reference(t, "archive:a.tar", dir))
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, contentsOf(t, img))
}

// TestLayoutArchive reads a layout as an archive, which docker save writes since 25.0.
func TestLayoutArchive(t *testing.T) {
	dir, layers := t.TempDir(), threeLayers(t)
	b := blobs{}
	b.write(t, filepath.Join(dir, "layout"), map[string]v1.Descriptor{"": b.image(t, layers, nil)})
	var members []member
	root := filepath.Join(dir, "layout")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		members = append(members, member{name: strings.TrimPrefix(path, root+"/"), data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	members = append(members, member{name: dockerManifest, data: []byte("[]")}) // the older form is there as well
	writeArchive(t, filepath.Join(dir, "a.tar"), members)
	cache := newCache(t)
	got, err := pull(t, &Client{}, cache, reference(t, "archive:a.tar", dir))
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, layers)
	if files := cacheFiles(t, cache); len(files) != 2 {
		t.Errorf("the cache has %q; want the two layers that were compressed", files)
	}
}

func TestBadArchives(t *testing.T) {
	layers := threeLayers(t)
	good := func() []member { return dockerArchive(t, layers, nil) }
	tests := []struct {
		name    string
		members []member
		raw     []byte
		want    string
		hint    string
	}{
		{name: "no file", want: "no such file"},
		{name: "not an archive", raw: bytes.Repeat([]byte("x"), 2000), want: "wrong checksum", hint: "archive of docker save"},
		{name: "compressed", raw: testkit.Gzip(make([]byte, 4000)), want: "read tar", hint: "not compressed"},
		{name: "docker export", members: []member{{name: "etc/passwd", data: []byte("root")}}, want: "has neither", hint: "docker export"},
		{name: "empty", raw: []byte{}, want: "has neither", hint: "docker save"},
		{name: "no images", members: []member{{name: dockerManifest, data: []byte("[]")}}, want: "0 images", hint: "one image per archive"},
		{name: "no layer", members: good()[1:], want: "layer 1 of archive:a.tar (" + digestOf(layers[0].Plain).String() + "): open"},
		{name: "no configuration", members: append(good()[:3:3], good()[4]), want: ".json: file does not exist"},
		{name: "another configuration", members: func() []member {
			m := good()
			m[3].data = append(m[3].data, ' ')
			return m
		}(), want: "digest is sha256:", hint: "damaged"},
		{name: "layer changed", members: func() []member {
			m := good()
			m[1].data = append([]byte{'x'}, m[1].data[1:]...)
			return m
		}(), want: "layer 2 of archive:a.tar (" + digestOf(layers[1].Plain).String() + "): diffID is", hint: "damaged"},
		{name: "layer truncated", members: func() []member {
			m := good()
			m[1].data = m[1].data[:512]
			return m
		}(), want: "layer 2 of archive:a.tar"},
		{name: "a layer too many", members: dockerArchive(t, layers, func(c *v1.ConfigFile) { c.RootFS.DiffIDs = c.RootFS.DiffIDs[:2] }), want: "3 layers in manifest.json, 2 in the configuration"},
		{name: "links in a circle", members: append(good()[1:], member{name: good()[0].name, link: "layer.tar"}), want: "layer.tar: file does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.members != nil {
				writeArchive(t, filepath.Join(dir, "a.tar"), tt.members)
			} else if tt.raw != nil {
				put(t, filepath.Join(dir, "a.tar"), tt.raw)
			}
			_, err := pull(t, &Client{}, newCache(t), reference(t, "archive:a.tar", dir))
			checkError(t, tt.name, err, tt.want, tt.hint)
		})
	}
}

// FuzzArchive opens what may be no archive of an image: nothing but errors comes of
// it, and no image whose layers are not those that its configuration names.
func FuzzArchive(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.tar")
	writeArchive(f, path, dockerArchive(f, []stored{{Plain: tarOf(f, "x", 1)}}, nil))
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "a.tar"), data)
		img, err := (&Client{}).Open(t.Context(), reference(t, "archive:a.tar", dir))
		if err == nil && len(img.Layers) != len(img.Config.RootFS.DiffIDs) {
			t.Errorf("an image of %d layers, whose configuration names %d", len(img.Layers), len(img.Config.RootFS.DiffIDs))
		}
	})
}
