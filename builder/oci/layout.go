package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/hint"
)

// Names in an image layout (image-spec, "Image Layout"), and the annotations
// that name the images in its index: the specification's and containerd's.
const (
	layoutMarker   = "oci-layout"
	layoutIndex    = "index.json"
	annotationRef  = "org.opencontainers.image.ref.name"
	annotationName = "io.containerd.image.name"
)

// files finds local files by their name in a layout: in a directory or an archive.
type files interface {
	find(name string) (section, error)
}

// directory is a layout in a directory.
type directory string

func (d directory) find(name string) (section, error) {
	path := filepath.Join(string(d), filepath.FromSlash(name))
	info, err := os.Stat(path)
	if err != nil {
		return section{}, err
	}
	if !info.Mode().IsRegular() {
		return section{}, fmt.Errorf("%s is not a regular file", path)
	}
	return section{path: path, size: info.Size()}, nil
}

func (c *Client) openLayout(ctx context.Context, ref Reference) (*Image, error) {
	dir := directory(ref.Path)
	if _, err := dir.find(layoutMarker); err != nil {
		return nil, hint.Add(err, "%s is not an OCI image layout: it has no file %s", ref.Path, layoutMarker)
	}
	return c.openIndex(ctx, ref, dir)
}

// openIndex opens the image that a reference names in a layout's index.
func (c *Client) openIndex(ctx context.Context, ref Reference, files files) (*Image, error) {
	data, err := readFile(files, layoutIndex)
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(strings.NewReader(string(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", layoutIndex, err)
	}
	r := reader{layout{files}, ref, c.platform()}
	root, err := r.selectImage(ctx, index.Manifests)
	if err != nil {
		return nil, err
	}
	if err := checkDescriptor(root); err != nil {
		return nil, fmt.Errorf("%s: %w", layoutIndex, err)
	}
	return r.image(ctx, root)
}

// selectImage finds the image of a reference among those of an index: by
// digest, by tag, or because there is no other.
func (r reader) selectImage(ctx context.Context, all []v1.Descriptor) (v1.Descriptor, error) {
	matching := slices.DeleteFunc(slices.Clone(all), func(d v1.Descriptor) bool {
		if r.ref.Digest != (v1.Hash{}) {
			return d.Digest != r.ref.Digest
		}
		return r.ref.Tag != "" && !hasTag(d, r.ref.Tag)
	})
	switch {
	case len(matching) == 0:
		return v1.Descriptor{}, r.ref.offer(errors.New("no such image in the index"), "it has", all)
	case len(matching) == 1:
		return matching[0], nil
	case r.ref.Tag == "" && len(tags(all)) > 1:
		return v1.Descriptor{}, r.ref.offer(fmt.Errorf("%d images in the index", len(all)), "name one of", all)
	}
	return r.choose(ctx, matching, 0)
}

// hasTag says whether a descriptor has a tag, in either annotation: as it is, or
// at the end of a full name.
func hasTag(d v1.Descriptor, tag string) bool {
	full := d.Annotations[annotationName]
	return d.Annotations[annotationRef] == tag || full == tag || strings.HasSuffix(full, ":"+tag)
}

// tags lists what the images of an index are called, each once.
func tags(all []v1.Descriptor) []string {
	var out []string
	for _, d := range all {
		tag := d.Annotations[annotationRef]
		if tag == "" {
			tag = d.Digest.String()
		}
		if !slices.Contains(out, tag) {
			out = append(out, tag)
		}
	}
	return out
}

// offer adds to an error what could have been asked for instead.
func (r Reference) offer(err error, intro string, all []v1.Descriptor) error {
	if r.Transport == Archive {
		return hint.Add(err, "an archive's only image is taken: save one image per archive")
	}
	if len(all) == 0 {
		return hint.Add(err, "the index is empty")
	}
	return hint.Add(err, "%s: %s", intro, strings.Join(r.alternatives(all), ", "))
}

// alternatives are references to the images of an index, in the form in which a
// definition can name them: by a tag, as far as a reference can hold it, or by digest.
func (r Reference) alternatives(all []v1.Descriptor) []string {
	at := r.withoutImage()
	var out []string
	for _, d := range all {
		text := at + "@" + d.Digest.String()
		if tag := d.Annotations[annotationRef]; tag != "" && !strings.ContainsAny(tag, "/:@") {
			text = at + ":" + tag
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// layout is a layout as a source.
type layout struct{ files files }

func (l layout) manifest(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return l.blob(ctx, d)
}

func (l layout) blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	s, _, err := l.local(d)
	if err != nil {
		return nil, err
	}
	return s.open()
}

func (l layout) local(d v1.Descriptor) (section, bool, error) {
	s, err := l.files.find(path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex))
	if errors.Is(err, fs.ErrNotExist) && len(d.URLs) > 0 {
		err = foreign(err, d)
	}
	return s, true, err
}

// readFile reads a small file of a layout.
func readFile(files files, name string) ([]byte, error) {
	s, err := files.find(name)
	if err != nil {
		return nil, err
	}
	if s.size > maxDocument {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", name, s.size, maxDocument)
	}
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// readJSON reads a small file of a layout into v.
func readJSON(files files, name string, v any) error {
	data, err := readFile(files, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
