package oci

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/atomicfile"
)

// Layout is an image layout directory that is open for writing: one image for
// each tag. Blobs and the index appear by rename. Readers need no lock: what an
// index names is there until the index no longer names it.
type Layout struct {
	dir    string
	lock   *os.File
	images []v1.Descriptor // the index, sorted by tag
}

// Open opens the layout in dir, made when missing, and keeps other writers out
// until Close. It waits for another writer to end.
func Open(ctx context.Context, dir string) (*Layout, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	l := &Layout{dir: dir, lock: lock}
	if err := l.read(); err != nil {
		lock.Close()
		return nil, err
	}
	return l, nil
}

// flock takes the lock, or gives up with ctx: flock(2) itself could not.
func flock(ctx context.Context, lock *os.File) error {
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close lets other writers in.
func (l *Layout) Close() error { return l.lock.Close() }

// read reads the index. A layout without one is empty.
func (l *Layout) read() error {
	content, err := os.ReadFile(filepath.Join(l.dir, "index.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var parsed v1.IndexManifest
	if err := json.Unmarshal(content, &parsed); err != nil {
		return fmt.Errorf("read %s/index.json: %w", l.dir, err)
	}
	l.images = parsed.Manifests
	return nil
}

// Image returns the image with a tag, and its layer, if all of it is there and
// every blob is what its name says.
func (l *Layout) Image(tag string) (image, layer v1.Descriptor, ok bool) {
	i := l.find(tag)
	if i < 0 {
		return image, layer, false
	}
	manifest, err := l.manifest(l.images[i])
	if err != nil || len(manifest.Layers) != 1 {
		return image, layer, false
	}
	whole := l.has(l.images[i]) && l.has(manifest.Config) && l.has(manifest.Layers[0])
	return l.images[i], manifest.Layers[0], whole
}

func (l *Layout) find(tag string) int {
	return slices.IndexFunc(l.images, func(d v1.Descriptor) bool { return d.Annotations[RefName] == tag })
}

func (l *Layout) manifest(image v1.Descriptor) (*v1.Manifest, error) {
	content, err := os.ReadFile(l.path(image.Digest))
	if err != nil {
		return nil, err
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(content, &manifest); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", image.Digest, err)
	}
	return &manifest, nil
}

// has reads a blob: a layer of another content, or of none, is to be made anew.
func (l *Layout) has(blob v1.Descriptor) bool {
	f, err := os.Open(l.path(blob.Digest))
	if err != nil {
		return false
	}
	defer f.Close()
	digest, size, err := v1.SHA256(f)
	return err == nil && size == blob.Size && digest == blob.Digest
}

func (l *Layout) path(digest v1.Hash) string {
	return filepath.Join(l.dir, "blobs", digest.Algorithm, digest.Hex)
}

// WriteLayer stores what write writes as an uncompressed layer.
func (l *Layout) WriteLayer(write func(io.Writer) error) (v1.Descriptor, error) {
	return l.writeBlob(types.OCIUncompressedLayer, write)
}

// Put stores the image and makes tag name it. Annotations are those of the
// index's entry; the image does not depend on them.
func (l *Layout) Put(tag string, image Image, annotations map[string]string) (v1.Descriptor, error) {
	config, manifest, err := image.Encode()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if _, err := l.writeBytes(types.OCIConfigJSON, config); err != nil {
		return v1.Descriptor{}, err
	}
	entry, err := l.writeBytes(types.OCIManifestSchema1, manifest)
	if err != nil {
		return v1.Descriptor{}, err
	}
	entry.Annotations = map[string]string{RefName: tag}
	for name, value := range annotations {
		entry.Annotations[name] = value
	}
	if i := l.find(tag); i >= 0 {
		l.images = slices.Delete(l.images, i, i+1)
	}
	l.images = append(l.images, entry)
	slices.SortFunc(l.images, func(a, b v1.Descriptor) int {
		return strings.Compare(a.Annotations[RefName], b.Annotations[RefName])
	})
	return entry, l.commit()
}

// commit replaces the index and removes the blobs that it no longer names.
func (l *Layout) commit() error {
	content, err := index(l.images)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(l.dir, "oci-layout"), []byte(marker), 0o644); err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(l.dir, "index.json"), content, 0o644); err != nil {
		return err
	}
	return l.sweep()
}

// sweep removes unnamed blobs and what interrupted builds left behind.
func (l *Layout) sweep() error {
	named := map[string]bool{}
	for _, image := range l.images {
		named[image.Digest.Hex] = true
		manifest, err := l.manifest(image)
		if err != nil {
			continue // an image that is not whole: its layer is built anew when asked for
		}
		named[manifest.Config.Digest.Hex] = true
		for _, layer := range manifest.Layers {
			named[layer.Digest.Hex] = true
		}
	}
	dir := filepath.Join(l.dir, "blobs/sha256")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !named[entry.Name()] {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Layout) writeBytes(mediaType types.MediaType, content []byte) (v1.Descriptor, error) {
	return l.writeBlob(mediaType, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

func (l *Layout) writeBlob(mediaType types.MediaType, write func(io.Writer) error) (v1.Descriptor, error) {
	// sweep removes it if nothing else does.
	temp, err := atomicfile.CreateIn(filepath.Join(l.dir, "blobs/sha256"), 0o644)
	if err != nil {
		return v1.Descriptor{}, err
	}
	hash := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(temp, hash), 1<<20)
	if err = write(buffered); err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return v1.Descriptor{}, errors.Join(err, temp.Discard())
	}
	size, err := temp.Seek(0, io.SeekCurrent)
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(hash.Sum(nil))}
	err = errors.Join(err, temp.CommitAs(l.path(digest)))
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}, err
}
