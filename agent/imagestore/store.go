// Package imagestore brings the container images that the OS image carries into
// containerd. Package internal/imagelayout reads them. Left out, for now:
// registries.
package imagestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/imagelayout"
)

// Snapshotter is the containerd snapshotter that images are unpacked into.
const Snapshotter = "overlayfs"

// fileLabel marks the images that Import brought in; its value is the file.
const fileLabel = "org.ketch.image.file"

// Store is containerd's store of images, in the client's default namespace.
type Store struct{ Client *client.Client }

// Import makes containerd's imported images the same as the layouts in dir. It
// imports and unpacks new and changed images, and removes those whose layout is
// gone. An image that is there already costs a look at its index only. A bad layout
// costs only its own images: the error names each, and nothing is removed then. A
// directory that does not exist holds no layouts. Import returns the names of all
// images that containerd now has as the layouts have them.
func (s *Store) Import(ctx context.Context, dir string) (carried []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var problems []error
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		names, err := s.importLayout(ctx, path)
		if err != nil {
			problems = append(problems, fmt.Errorf("import images of %s: %w", path, err))
		}
		carried = append(carried, names...)
	}
	if len(problems) == 0 {
		problems = append(problems, s.prune(ctx, carried))
	}
	return carried, errors.Join(problems...)
}

// importLayout imports every image of one layout and returns the names of those
// that it could.
func (s *Store) importLayout(ctx context.Context, path string) (names []string, err error) {
	layout, err := imagelayout.Open(path)
	if err != nil {
		return nil, err
	}
	defer layout.Close()
	images, err := layout.Images()
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, image := range images {
		if err := s.importImage(ctx, layout, image.Descriptor, image.Name, path); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", image.Name, err))
			continue
		}
		names = append(names, image.Name)
	}
	return names, errors.Join(problems...)
}

// Drop removes the images that were imported once and that no layout in dir has now,
// without importing any: it makes room. A layout that cannot be read keeps all.
func (s *Store) Drop(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var carried []string
	for _, entry := range entries {
		names, err := namesOf(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		carried = append(carried, names...)
	}
	return s.prune(ctx, carried)
}

func namesOf(path string) (names []string, err error) {
	layout, err := imagelayout.Open(path)
	if err != nil {
		return nil, err
	}
	defer layout.Close()
	images, err := layout.Images()
	for _, image := range images {
		names = append(names, image.Name)
	}
	return names, err
}

// Collect has containerd remove now what nothing holds any more: content, layers.
func (s *Store) Collect(ctx context.Context) error {
	service := s.Client.LeasesService()
	lease, err := service.Create(ctx, leases.WithRandomID())
	if err == nil {
		err = service.Delete(ctx, lease, leases.SynchronousDelete)
	}
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	return nil
}

// importImage brings in one image. A lease keeps containerd's garbage collector
// off the blobs until the image record holds them.
func (s *Store) importImage(ctx context.Context, layout *imagelayout.Layout, image ocispec.Descriptor, name, path string) error {
	if there, err := s.has(ctx, name, image); there || err != nil {
		return err
	}
	leased, release, err := s.Client.WithLease(ctx)
	if err != nil {
		return err
	}
	defer release(context.WithoutCancel(leased))
	if err := copyBlobs(leased, s.Client.ContentStore(), layout, image); err != nil {
		return err
	}
	record, err := s.record(leased, images.Image{
		Name:   name,
		Target: ocispec.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size},
		Labels: map[string]string{fileLabel: filepath.Base(path)},
	})
	if err != nil {
		return fmt.Errorf("record image: %w", err)
	}
	if err := client.NewImage(s.Client, record).Unpack(leased, Snapshotter); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// has tells whether containerd holds the image, unpacked.
func (s *Store) has(ctx context.Context, name string, image ocispec.Descriptor) (bool, error) {
	found, err := s.Client.GetImage(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil || found.Target().Digest != image.Digest {
		return false, err
	}
	unpacked, err := found.IsUnpacked(ctx, Snapshotter)
	if errdefs.IsNotFound(err) { // of its content
		return false, nil
	}
	return unpacked, err
}

func (s *Store) record(ctx context.Context, image images.Image) (images.Image, error) {
	service := s.Client.ImageService()
	record, err := service.Update(ctx, image, "target", "labels")
	if errdefs.IsNotFound(err) {
		return service.Create(ctx, image)
	}
	return record, err
}

// prune removes the images that were imported once and are not among carried.
// The garbage collector does the rest; snapshots that containers use stay.
func (s *Store) prune(ctx context.Context, carried []string) error {
	service := s.Client.ImageService()
	known, err := service.List(ctx, fmt.Sprintf("labels.%q", fileLabel))
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	for _, image := range known {
		if slices.Contains(carried, image.Name) {
			continue
		}
		if err := service.Delete(ctx, image.Name); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove image %s: %w", image.Name, err)
		}
	}
	return nil
}

// List describes the images of the namespace, sorted by name.
func (s *Store) List(ctx context.Context) ([]node.Image, error) {
	known, err := s.Client.ListImages(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	list := make([]node.Image, 0, len(known))
	for _, image := range known {
		size, err := image.Size(ctx)
		if err != nil {
			return nil, fmt.Errorf("measure image %s: %w", image.Name(), err)
		}
		list = append(list, node.Image{Name: image.Name(), Digest: image.Target().Digest.String(), Size: size, File: image.Labels()[fileLabel]})
	}
	slices.SortFunc(list, func(a, b node.Image) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// copyBlobs copies an image for this machine's platform into store. It leaves out
// the blobs that are there. The store checks each blob's size and digest. No
// reference keeps the layers once they are unpacked: the OS image still has them,
// and /var should not hold them twice.
func copyBlobs(ctx context.Context, store content.Store, layout *imagelayout.Layout, image ocispec.Descriptor) error {
	fetch := images.HandlerFunc(func(ctx context.Context, blob ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return nil, copyBlob(ctx, store, layout, blob)
	})
	children := images.SetChildrenMappedLabels(store, images.ChildrenHandler(store), images.ChildGCLabelsFilterLayers)
	children = images.FilterPlatforms(children, platforms.Default())
	return images.WalkNotEmpty(ctx, images.Handlers(fetch, children), image)
}

func copyBlob(ctx context.Context, store content.Store, layout *imagelayout.Layout, blob ocispec.Descriptor) error {
	if _, err := store.Info(ctx, blob.Digest); err == nil {
		return nil
	}
	from, err := layout.Blob(blob.Digest)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := content.WriteBlob(ctx, store, "ketch-"+blob.Digest.String(), from, blob); err != nil {
		return fmt.Errorf("copy blob %s: %w", blob.Digest, err)
	}
	return nil
}
