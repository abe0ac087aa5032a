// Package oci writes OCI images whose bytes depend on nothing but what they
// are given: no clock, no names of the host.
//
// It does the parts of the OCI image specification 1.1 that layers built here
// need: uncompressed layers, one platform, and the two forms of an image
// layout, a directory (Layout) and a tar of one (Archive). Documents and digests are
// go-containerregistry's; of its writer of layouts, builds that run side by side and
// power cuts ask more: it locks nothing, replaces the index in place, and leaves the
// blobs of images that are gone.
package oci

import (
	"bytes"
	"encoding/json"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Epoch is the time of everything in these images, in seconds since 1970: none.
const Epoch = 0

// RefName is the annotation of an index that names one of its images (image
// layout specification, "index.json file").
const RefName = "org.opencontainers.image.ref.name"

// Image is an image of one layer.
type Image struct {
	Layer   v1.Descriptor // uncompressed: its digest is its diff ID too
	Config  v1.Config     // how to run it; labels
	Comment string        // what made the layer
}

// Encode returns the image's two JSON documents.
func (i Image) Encode() (config, manifest []byte, err error) {
	created := v1.Time{Time: time.Unix(Epoch, 0).UTC()}
	config, err = encode(v1.ConfigFile{
		Architecture: "amd64",
		OS:           "linux",
		Created:      created,
		Config:       i.Config,
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{i.Layer.Digest}},
		History:      []v1.History{{Created: created, CreatedBy: i.Comment}},
	})
	if err != nil {
		return nil, nil, err
	}
	described, err := describe(types.OCIConfigJSON, config)
	if err != nil {
		return nil, nil, err
	}
	manifest, err = encode(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        described,
		Layers:        []v1.Descriptor{i.Layer},
	})
	return config, manifest, err
}

func describe(mediaType types.MediaType, content []byte) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}, err
}

// encode writes indented JSON: people read these files.
func encode(v any) ([]byte, error) {
	content, err := json.MarshalIndent(v, "", "  ")
	return append(content, '\n'), err
}

func index(images []v1.Descriptor) ([]byte, error) {
	return encode(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: images})
}

// marker is the file oci-layout, which every layout has.
const marker = `{"imageLayoutVersion":"1.0.0"}` + "\n"
