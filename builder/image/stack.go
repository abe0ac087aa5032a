package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/progress"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/update/release"
)

// Stack is a tree merged from container images, with the layers it reads
// file contents from.
type Stack struct {
	Tree   *tree.Tree
	Inputs []release.Input // bottom up
	// LeftOut is what Merge did not take over: dropped by the definition, or empty
	// directories of the skeleton.
	LeftOut []tree.Removal
	// Cargo are the container images that workloads brought.
	Cargo []release.Input
	blobs []io.Closer
	// packages are those of the images that list what is installed in them.
	packages packages
}

// Close closes the layers: file contents cannot be read any more.
func (s *Stack) Close() error {
	var errs []error
	for _, blob := range s.blobs {
		errs = append(errs, blob.Close())
	}
	s.blobs = nil
	return errors.Join(errs...)
}

// Source is where images come from and where their layers are kept.
type Source struct {
	Client   *oci.Client
	Cache    *oci.Cache
	Progress *progress.Bar // shows layers that arrive; nil shows nothing
}

// OpenStack merges images, the first at the bottom.
func OpenStack(ctx context.Context, from Source, refs []ImageRef, policy tree.Policy) (*Stack, error) {
	images, err := from.open(ctx, refs)
	if err != nil {
		return nil, err
	}
	return from.stack(ctx, refs, images, policy)
}

// stack merges images that have been opened.
func (from Source) stack(ctx context.Context, refs []ImageRef, images []*oci.Image, policy tree.Policy) (s *Stack, err error) {
	var all []oci.Layer
	for _, img := range images {
		all = append(all, img.Layers...)
	}
	blobs, err := from.fetch(ctx, all)
	if err != nil {
		return nil, err
	}
	s = &Stack{Tree: tree.New(policy)}
	for i, img := range images {
		if err := s.apply(refs[i], img, blobs[:len(img.Layers)]); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		blobs = blobs[len(img.Layers):]
	}
	return s, nil
}

// fetch gets layers, and shows how far it is.
func (from Source) fetch(ctx context.Context, all []oci.Layer) ([]oci.Blob, error) {
	defer from.Progress.Clear()
	return from.Cache.Fetch(ctx, all, func(p oci.Progress) { from.Progress.Show("layers", p.Done, p.Total) })
}

// open opens images in parallel; they come in the order of refs.
func (from Source) open(ctx context.Context, refs []ImageRef) ([]*oci.Image, error) {
	images := make([]*oci.Image, len(refs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(oci.Parallel)
	for i, ref := range refs {
		group.Go(func() (err error) {
			if images[i], err = from.openOne(ctx, ref); err != nil {
				return ref.wrap(err)
			}
			return nil
		})
	}
	return images, group.Wait()
}

func (from Source) openOne(ctx context.Context, ref ImageRef) (*oci.Image, error) {
	parsed, err := oci.ParseReference(ref.Ref, ref.Dir)
	if err != nil {
		return nil, err
	}
	img, err := from.Client.Open(ctx, parsed)
	if _, missing := os.Stat(parsed.Path); parsed.Transport == oci.Layout && errors.Is(missing, fs.ErrNotExist) {
		err = hint.Add(err, "there is no directory %s; one with the OS's own layers is made by ketch layers build", parsed.Path)
	}
	return img, err
}

// apply applies the layers of one image, bottom up.
func (s *Stack) apply(ref ImageRef, img *oci.Image, blobs []oci.Blob) error {
	input := release.Input{Ref: ref.Ref, Digest: img.Digest.String()}
	for i, layer := range img.Layers {
		blob, err := blobs[i].Open()
		if err != nil {
			return ref.wrap(err)
		}
		s.blobs = append(s.blobs, blob)
		diffID := layer.DiffID.String()
		origin := &tree.Origin{Image: ref.Ref, Layer: layer.Position, DiffID: diffID, Place: ref.Origin()}
		if err := s.Tree.Apply(tree.Layer{Origin: origin, Blob: blob, Size: blobs[i].Size}); err != nil {
			return ref.wrap(err)
		}
		input.Layers = append(input.Layers, diffID)
	}
	s.Inputs = append(s.Inputs, input)
	s.packages.read(s.Tree, ref)
	return nil
}
