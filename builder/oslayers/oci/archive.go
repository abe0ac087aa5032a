package oci

import (
	"archive/tar"
	"bytes"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ContainerdName is the annotation by which containerd names an image that it
// imports, in place of a bare tag.
const ContainerdName = "io.containerd.image.name"

// Archive returns a tar of an image layout that holds one image of one layer:
// what `ctr image import` and `skopeo copy oci-archive:` read. name is the
// full reference, such as ketch.local/demo:1, and tag its last part.
func Archive(name, tag string, layer []byte, image Image) ([]byte, error) {
	described, err := describe(types.OCIUncompressedLayer, layer)
	if err != nil {
		return nil, err
	}
	image.Layer = described
	config, manifest, err := image.Encode()
	if err != nil {
		return nil, err
	}
	entry, err := describe(types.OCIManifestSchema1, manifest)
	if err != nil {
		return nil, err
	}
	entry.Annotations = map[string]string{RefName: tag, ContainerdName: name}
	list, err := index([]v1.Descriptor{entry})
	if err != nil {
		return nil, err
	}
	return archive([]member{
		{"oci-layout", []byte(marker)}, {"index.json", list},
		{"", manifest}, {"", config}, {"", layer},
	})
}

// member is a file of an archive; a blob where it has no name.
type member struct {
	name    string
	content []byte
}

func archive(members []member) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, m := range members {
		if m.name == "" {
			blob, err := describe("", m.content)
			if err != nil {
				return nil, err
			}
			m.name = "blobs/sha256/" + blob.Digest.Hex
		}
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: m.name, Size: int64(len(m.content)), Mode: 0o644, ModTime: time.Unix(Epoch, 0),
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, bytes.NewReader(m.content)); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buffer.Bytes(), err
}
