package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ketch-os/ketch/builder/hint"
)

// maxDocument bounds manifests, indexes and configurations, in bytes.
const maxDocument = 8 << 20

// Image is an image whose manifest and configuration have been verified. Its
// layers have not been read.
type Image struct {
	Reference Reference
	// Digest is of what the reference names: a manifest, or an index of
	// manifests. In an archive with docker's own manifest it is the image ID,
	// the digest of the configuration.
	Digest v1.Hash
	Config *v1.ConfigFile
	// RawConfig is the configuration as it was read.
	RawConfig []byte
	Layers    []Layer // bottom first
}

// Layer is a layer of an image: what it must be, and where to read it.
type Layer struct {
	Image      string // the reference, as it was written
	Position   int    // in the image, from 1
	Descriptor v1.Descriptor
	DiffID     v1.Hash // digest of the uncompressed archive
	source     source
}

// String returns "layer 2 of oci:base (sha256:…)".
func (l Layer) String() string {
	digest := l.Descriptor.Digest
	if digest == (v1.Hash{}) {
		digest = l.DiffID
	}
	return fmt.Sprintf("layer %d of %s (%s)", l.Position, l.Image, digest)
}

// source is where the documents and blobs of an image are. What it returns has
// not been verified.
type source interface {
	manifest(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// local returns where a blob is in a local file, false if it is remote.
	local(d v1.Descriptor) (section, bool, error)
}

// reader opens the image that a descriptor names.
type reader struct {
	source   source
	ref      Reference
	platform v1.Platform
}

// image reads the manifest root, or if that is an index the manifest for the
// platform in it, and the configuration.
func (r reader) image(ctx context.Context, root v1.Descriptor) (*Image, error) {
	manifest, err := r.resolve(ctx, root, 0)
	if err != nil {
		return nil, err
	}
	img := &Image{Reference: r.ref, Digest: root.Digest}
	if img.Config, img.RawConfig, err = r.readConfig(ctx, manifest.Config); err != nil {
		return nil, err
	}
	if err := r.checkPlatform(img.Config); err != nil {
		return nil, err
	}
	diffIDs := img.Config.RootFS.DiffIDs
	if len(diffIDs) != len(manifest.Layers) {
		return nil, fmt.Errorf("%d layers in the manifest, %d in the configuration", len(manifest.Layers), len(diffIDs))
	}
	for i, d := range manifest.Layers {
		layer := Layer{Image: r.ref.Text, Position: i + 1, Descriptor: d, DiffID: diffIDs[i], source: r.source}
		if err := layer.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", layer, err)
		}
		img.Layers = append(img.Layers, layer)
	}
	return img, nil
}

// resolve reads a manifest, going through indexes: they may be nested.
func (r reader) resolve(ctx context.Context, d v1.Descriptor, depth int) (*v1.Manifest, error) {
	if depth > 3 {
		return nil, fmt.Errorf("index %s: nested too deep", d.Digest)
	}
	data, err := r.document(ctx, "manifest", r.source.manifest, d)
	if err != nil {
		return nil, err
	}
	var both struct {
		MediaType types.MediaType `json:"mediaType"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(data, &both); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if both.MediaType != "" {
		d.MediaType = both.MediaType
	}
	switch {
	case d.MediaType.IsIndex(), d.MediaType == "" && both.Manifests != nil:
		child, err := r.choose(ctx, both.Manifests, depth)
		if err != nil {
			return nil, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		if err := checkDescriptor(child); err != nil {
			return nil, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		return r.resolve(ctx, child, depth+1)
	case d.MediaType.IsImage(), d.MediaType == "":
		m, err := v1.ParseManifest(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		return m, nil
	}
	return nil, fmt.Errorf("manifest %s: media type %s is not that of an image", d.Digest, d.MediaType)
}

// readConfig reads the configuration that a manifest names; raw is its text.
func (r reader) readConfig(ctx context.Context, d v1.Descriptor) (config *v1.ConfigFile, raw []byte, err error) {
	if err := checkDescriptor(d); err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	if raw, err = r.document(ctx, "configuration", r.source.blob, d); err != nil {
		return nil, nil, err
	}
	config, err = parseConfig(raw)
	return config, raw, err
}

func parseConfig(data []byte) (*v1.ConfigFile, error) {
	config, err := v1.ParseConfigFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if config.RootFS.Type != "" && config.RootFS.Type != "layers" {
		return nil, fmt.Errorf("configuration: root file system of type %q, not of layers", config.RootFS.Type)
	}
	return config, nil
}

// checkPlatform refuses an image that is for another platform. One that was
// asked for by its own digest may be for a variant.
func (r reader) checkPlatform(config *v1.ConfigFile) error {
	if a := config.Architecture; a != "" && a != r.platform.Architecture || config.OS != "" && config.OS != r.platform.OS {
		return fmt.Errorf("the image is for %s/%s, not for %s", config.OS, a, r.platform)
	}
	return nil
}

// document reads a small blob whole and verifies it.
func (r reader) document(ctx context.Context, what string, get func(context.Context, v1.Descriptor) (io.ReadCloser, error), d v1.Descriptor) ([]byte, error) {
	data, err := readDocument(ctx, get, d)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, d.Digest, err)
	}
	return data, nil
}

func readDocument(ctx context.Context, get func(context.Context, v1.Descriptor) (io.ReadCloser, error), d v1.Descriptor) ([]byte, error) {
	if d.Size > maxDocument {
		return nil, fmt.Errorf("%d bytes are more than %d", d.Size, maxDocument)
	}
	rc, err := get(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	v := verify(rc, d)
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(v, maxDocument+1)); err != nil {
		return nil, err
	}
	if out.Len() > maxDocument {
		return nil, fmt.Errorf("more than %d bytes", maxDocument)
	}
	return out.Bytes(), v.check()
}

// Media types of layers that go-containerregistry has no name for.
const (
	ociRestrictedZstd types.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
	dockerZstd        types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"
)

// check refuses layers that could not be verified or are none.
func (l Layer) check() error {
	if err := checkDescriptor(l.Descriptor); err != nil {
		return err
	}
	if l.DiffID == (v1.Hash{}) {
		return errors.New("no diffID in the configuration")
	}
	return checkMediaType(l.Descriptor.MediaType)
}

// checkDescriptor refuses descriptors that nothing could be held against.
func checkDescriptor(d v1.Descriptor) error {
	if d.Digest == (v1.Hash{}) || d.Size < 0 {
		return errors.New("a descriptor without digest or size")
	}
	return nil
}

// checkMediaType refuses layers that are not tar archives. How one is compressed
// is read from its first bytes: media types are often wrong about it.
func checkMediaType(m types.MediaType) error {
	if m.IsLayer() || slices.Contains([]types.MediaType{"", ociRestrictedZstd, dockerZstd}, m) {
		return nil
	}
	err := fmt.Errorf("media type %s is not that of a layer", m)
	if strings.Contains(string(m), "encrypted") {
		return hint.Add(err, "decrypt the image first")
	}
	return err
}
