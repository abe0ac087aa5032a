package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// cargoDir is the OCI image layout with the images of all workloads, in the tree.
// Layers that several images share are in it once.
const cargoDir = "workloads"

// containerdName is the annotation by which containerd names an image.
const containerdName = "io.containerd.image.name"

// pack puts the Compose files and images of the workloads into a merged tree.
//
// Layers go in uncompressed, and so the manifest is one of the builder's own: two
// versions of the OS share every block of a layer that has not changed, the machine
// has nothing to decompress at its first boot, and the image as a whole is
// compressed on its way. The configuration, and with it the image ID, is the
// image's own.
func (c *cargo) pack(ctx context.Context, from Source, d *Definition, s *Stack) error {
	for _, w := range c.workloads {
		if err := s.putNew(composePath(w.Project), tree.File(w.Text, 0o644, d.Released), &tree.Origin{Place: w.Compose.Origin()}); err != nil {
			return fmt.Errorf("definition %s: workloads: %w", w.Compose.Origin(), err)
		}
	}
	if len(c.images) == 0 {
		return nil
	}
	p := packing{stack: s, definition: d, dir: path.Join(layout.ImagesDir[1:], cargoDir)}
	if s.Tree.Lookup(p.dir) != nil {
		return fmt.Errorf("%s: a layer has it already; the images of workloads go there", p.dir)
	}
	var all []oci.Layer
	for _, i := range c.images {
		all = append(all, i.image.Layers...)
	}
	blobs, err := from.fetch(ctx, all)
	if err != nil {
		return err
	}
	for _, i := range c.images {
		if err := p.add(i, blobs[:len(i.image.Layers)]); err != nil {
			return i.ref.wrap(err)
		}
		blobs = blobs[len(i.image.Layers):]
	}
	return p.finish()
}

// putNew puts a file where there is none.
func (s *Stack) putNew(name string, n *tree.Node, o *tree.Origin) error {
	if there := s.Tree.Lookup(name); there != nil {
		return fmt.Errorf("%s is there already, from %s", name, there.Origin)
	}
	return s.Tree.Put(name, n, o)
}

// packing is an OCI image layout that is written into a tree.
type packing struct {
	stack      *Stack
	definition *Definition
	dir        string
	index      []v1.Descriptor
}

// add adds an image; blobs are its layers.
func (p *packing) add(i carried, blobs []oci.Blob) error {
	origin := &tree.Origin{Image: i.ref.Ref, Place: i.ref.Origin()}
	config, err := p.document(types.OCIConfigJSON, i.image.RawConfig, origin)
	if err != nil {
		return err
	}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config}
	input := release.Input{Ref: i.ref.Ref, Digest: i.image.Digest.String()}
	for n, layer := range i.image.Layers {
		descriptor := v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: layer.DiffID, Size: blobs[n].Size}
		from := &tree.Origin{Image: i.ref.Ref, Layer: layer.Position, DiffID: layer.DiffID.String(), Place: i.ref.Origin()}
		if err := p.layer(descriptor, blobs[n], from); err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, descriptor)
		input.Layers = append(input.Layers, layer.DiffID.String())
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	entry, err := p.document(types.OCIManifestSchema1, text, origin)
	if err != nil {
		return err
	}
	for _, name := range i.names {
		named := entry
		named.Annotations = map[string]string{containerdName: name, ocispec.AnnotationRefName: name}
		p.index = append(p.index, named)
	}
	p.stack.Cargo = append(p.stack.Cargo, input)
	return nil
}

func (p *packing) blobPath(digest v1.Hash) string {
	return path.Join(p.dir, "blobs", digest.Algorithm, digest.Hex)
}

// document adds a small blob.
func (p *packing) document(mediaType types.MediaType, data []byte, o *tree.Origin) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size},
		p.stack.Tree.Put(p.blobPath(digest), tree.File(data, 0o644, p.definition.Released), o)
}

// layer adds a layer, unless another image has brought it.
func (p *packing) layer(d v1.Descriptor, blob oci.Blob, o *tree.Origin) error {
	name := p.blobPath(d.Digest)
	if p.stack.Tree.Lookup(name) != nil {
		return nil
	}
	file, err := blob.Open()
	if err != nil {
		return err
	}
	p.stack.blobs = append(p.stack.blobs, file)
	return p.stack.Tree.Put(name, tree.FileAt(file, blob.Size, 0o644, p.definition.Released), o)
}

// finish adds what makes a layout of the blobs.
func (p *packing) finish() error {
	slices.SortFunc(p.index, func(a, b v1.Descriptor) int {
		return strings.Compare(a.Annotations[containerdName], b.Annotations[containerdName])
	})
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: p.index})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{ocispec.ImageLayoutFile: []byte(`{"imageLayoutVersion":"1.0.0"}`), ocispec.ImageIndexFile: index} {
		if err := p.stack.Tree.Put(path.Join(p.dir, name), tree.File(data, 0o644, p.definition.Released), nil); err != nil {
			return err
		}
	}
	return nil
}
