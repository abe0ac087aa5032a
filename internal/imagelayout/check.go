package imagelayout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDocument bounds a manifest, an index or a configuration, in bytes.
	maxDocument = 8 << 20
	// maxNested bounds how deep indexes lie in each other.
	maxNested = 3
)

// The media types of Docker Image Manifest V2, Schema 2, beside OCI's.
const (
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// Check reads an image to the last byte, as a machine of the platform does: each
// blob must be there, and be what its descriptor says. Of the layers it checks what
// lies in the layout, not the archive in it.
func (l *Layout) Check(image ocispec.Descriptor, platform ocispec.Platform) error {
	return l.check(image, platform, maxNested)
}

func (l *Layout) check(d ocispec.Descriptor, platform ocispec.Platform, nested int) error {
	text, err := l.document(d)
	if err != nil {
		return err
	}
	switch d.MediaType {
	case ocispec.MediaTypeImageIndex, dockerIndex:
		var index ocispec.Index
		if err := json.Unmarshal(text, &index); err != nil {
			return fmt.Errorf("decode index %s: %w", d.Digest, err)
		}
		if nested == 0 {
			return fmt.Errorf("index %s: nested too deep", d.Digest)
		}
		for _, child := range index.Manifests {
			if p := child.Platform; p == nil || p.OS == platform.OS && p.Architecture == platform.Architecture {
				return l.check(child, platform, nested-1)
			}
		}
		return fmt.Errorf("index %s: no image for %s/%s", d.Digest, platform.OS, platform.Architecture)
	case ocispec.MediaTypeImageManifest, dockerManifest:
		return l.checkManifest(d, text, platform)
	}
	return fmt.Errorf("manifest %s: media type %q is not that of an image", d.Digest, d.MediaType)
}

func (l *Layout) checkManifest(d ocispec.Descriptor, text []byte, platform ocispec.Platform) error {
	var manifest ocispec.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		return fmt.Errorf("decode manifest %s: %w", d.Digest, err)
	}
	text, err := l.document(manifest.Config)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("decode configuration %s: %w", manifest.Config.Digest, err)
	}
	if config.OS != platform.OS || config.Architecture != platform.Architecture {
		return fmt.Errorf("the image is for %s/%s, not for %s/%s", config.OS, config.Architecture, platform.OS, platform.Architecture)
	}
	for i, layer := range manifest.Layers {
		if err := l.checkBlob(layer); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return nil
}

// document reads a small blob and holds it against its descriptor.
func (l *Layout) document(d ocispec.Descriptor) ([]byte, error) {
	if d.Size > maxDocument {
		return nil, fmt.Errorf("blob %s: %d bytes are more than %d", d.Digest, d.Size, maxDocument)
	}
	blob, err := l.Blob(d.Digest)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	defer blob.Close()
	text, err := io.ReadAll(io.LimitReader(blob, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if int64(len(text)) != d.Size || d.Digest.Algorithm().FromBytes(text) != d.Digest {
		return nil, fmt.Errorf("blob %s: its content is another", d.Digest)
	}
	return text, nil
}

// checkBlob holds a blob of any size against its descriptor.
func (l *Layout) checkBlob(d ocispec.Descriptor) error {
	blob, err := l.Blob(d.Digest)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	verifier := d.Digest.Verifier()
	n, err := io.Copy(verifier, blob)
	if err = errors.Join(err, blob.Close()); err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if n != d.Size || !verifier.Verified() {
		return fmt.Errorf("blob %s: its content is another", d.Digest)
	}
	return nil
}
