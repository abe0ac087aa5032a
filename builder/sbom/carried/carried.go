// Package carried reads the container images that an operating-system image
// carries for its workloads: OCI image layouts (image-spec 1.1, image-layout.md),
// as directories or tar archives, in a tree.
//
// Every document and layer is held against its digest. Left out: images for
// other platforms than the system's, and archives in Docker's own form, which
// the machine does not take either.
package carried

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

// Image is a container image with its layers merged.
type Image struct {
	Name   string // as its annotations have it, or "" if they do not
	Digest string // of the manifest
	Tree   *tree.Tree
	temps  []*os.File // uncompressed layers
}

// Close removes what was uncompressed: contents cannot be read any more.
func (i *Image) Close() error {
	var errs []error
	for _, f := range i.temps {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

const (
	maxDocument = 8 << 20 // bytes of an index, a manifest
	maxFiles    = 100_000 // in an archive
	maxDepth    = 3       // of indexes in indexes
)

// Read reads the images of the layout called name. temp is a directory for
// layers that have to be uncompressed.
func Read(t *tree.Tree, name, temp string, budget *limit.Budget) ([]*Image, error) {
	files, err := open(t, name)
	if err != nil {
		return nil, err
	}
	l := layout{files, temp, budget}
	index := files["index.json"]
	if index == nil || files["oci-layout"] == nil {
		return nil, errors.New("not an OCI image layout: it has no oci-layout or index.json")
	}
	data, err := readAll(index)
	if err != nil {
		return nil, err
	}
	images, err := l.images(data, "", maxDepth)
	if err != nil {
		for _, i := range images {
			err = errors.Join(err, i.Close())
		}
		return nil, err
	}
	return images, nil
}

// layout is a layout's files by their names in it.
type layout struct {
	files  map[string]*io.SectionReader
	temp   string
	budget *limit.Budget // of what is uncompressed
}

// open lists the files of a layout.
func open(t *tree.Tree, name string) (map[string]*io.SectionReader, error) {
	n := t.Follow(name)
	switch {
	case n == nil:
		return nil, errors.New("no such file")
	case n.IsDir():
		return directory(n), nil
	case n.Type() != tree.TypeRegular:
		return nil, errors.New("neither a file nor a directory")
	}
	files, r := map[string]*io.SectionReader{}, n.Reader()
	for archive := tarfile.NewReader(r, n.Size); ; {
		e, err := archive.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if len(files) > maxFiles {
			return nil, fmt.Errorf("more than %d files", maxFiles)
		}
		// Sparse files and links are not what tools write.
		if e.Type == tarfile.TypeRegular && len(e.Pieces) <= 1 {
			at := int64(0)
			if len(e.Pieces) == 1 {
				at = e.Pieces[0].At
			}
			files[path.Clean("/" + e.Name)[1:]] = io.NewSectionReader(r, at, e.Size)
		}
	}
}

func directory(root *tree.Node) map[string]*io.SectionReader {
	files := map[string]*io.SectionReader{}
	var list func(string, *tree.Node)
	list = func(name string, n *tree.Node) {
		for base, child := range n.Children {
			switch at := path.Join(name, base); child.Type() {
			case tree.TypeDir:
				list(at, child)
			case tree.TypeRegular:
				files[at] = child.Reader()
			}
		}
	}
	list("", root)
	return files
}

// images reads the images of an index.
func (l layout) images(index []byte, name string, depth int) (images []*Image, err error) {
	parsed, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	for _, d := range parsed.Manifests {
		if p := d.Platform; p != nil && (p.OS != "linux" || p.Architecture != "amd64") {
			continue
		}
		data, err := l.document(d)
		if err != nil {
			return images, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		called := nameOf(d, name)
		if isIndex(d, data) {
			if depth == 0 {
				return images, fmt.Errorf("index %s: nested too deep", d.Digest)
			}
			inner, err := l.images(data, called, depth-1)
			images = append(images, inner...)
			if err != nil {
				return images, err
			}
			continue
		}
		image, err := l.image(d, data, called)
		if image != nil {
			images = append(images, image)
		}
		if err != nil {
			return images, fmt.Errorf("image %s: %w", d.Digest, err)
		}
	}
	return images, nil
}

// nameOf is the full name of an image, as containerd and Docker keep it.
func nameOf(d v1.Descriptor, otherwise string) string {
	if name := d.Annotations["io.containerd.image.name"]; name != "" {
		return name
	}
	if name := d.Annotations["org.opencontainers.image.ref.name"]; strings.ContainsAny(name, "/:") {
		return name
	}
	return otherwise
}

func isIndex(d v1.Descriptor, data []byte) bool {
	var document struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	return d.MediaType.IsIndex() || json.Unmarshal(data, &document) == nil && document.Manifests != nil
}

// image merges the layers of an image. Within one image the specification's
// rules hold, and its extended attributes are of no interest here.
func (l layout) image(d v1.Descriptor, data []byte, name string) (*Image, error) {
	manifest, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	image := &Image{Name: name, Digest: d.Digest.String(), Tree: tree.New(tree.Policy{Links: tree.LinksReplace, Xattrs: []string{"*"}})}
	if name == "" {
		name = image.Digest
	}
	for i, layer := range manifest.Layers {
		blob, err := l.layer(image, layer)
		if err != nil {
			return image, fmt.Errorf("layer %d (%s): %w", i+1, layer.Digest, err)
		}
		origin := &tree.Origin{Image: name, Layer: i + 1, DiffID: layer.Digest.String()}
		if err := image.Tree.Apply(tree.Layer{Origin: origin, Blob: blob, Size: blob.Size()}); err != nil {
			return image, err
		}
	}
	return image, nil
}

// layer returns a layer uncompressed: where it lies, or from a file without a name.
func (l layout) layer(image *Image, d v1.Descriptor) (*io.SectionReader, error) {
	blob, err := l.blob(d)
	if err != nil {
		return nil, err
	}
	plain, err := oci.IsPlain(blob)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	stored := io.TeeReader(io.NewSectionReader(blob, 0, blob.Size()), hash)
	if plain {
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{stored}, make([]byte, 1<<20)); err != nil {
			return nil, err
		}
		return blob, checkDigest(d, hash.Sum(nil))
	}
	f, err := os.CreateTemp(l.temp, ".ketch-layer-*")
	if err != nil {
		return nil, err
	}
	image.temps = append(image.temps, f)
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(l.budget.Writer(f), 1<<20)
	if err = oci.Decompress(w, stored); err == nil {
		err = w.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("uncompress: %w", err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, stored); err != nil { // what the decompressor did not want
		return nil, err
	}
	return io.NewSectionReader(f, 0, size), checkDigest(d, hash.Sum(nil))
}

func (l layout) blob(d v1.Descriptor) (*io.SectionReader, error) {
	blob := l.files[path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex)]
	switch {
	case d.Digest.Algorithm != "sha256":
		return nil, fmt.Errorf("digest %q is no SHA-256", d.Digest)
	case blob == nil:
		return nil, errors.New("the layout does not have it")
	case blob.Size() != d.Size:
		return nil, fmt.Errorf("%d bytes, want %d", blob.Size(), d.Size)
	}
	return blob, nil
}

func (l layout) document(d v1.Descriptor) ([]byte, error) {
	blob, err := l.blob(d)
	if err != nil {
		return nil, err
	}
	data, err := readAll(blob)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return data, checkDigest(d, sum[:])
}

func readAll(r *io.SectionReader) ([]byte, error) {
	if r.Size() > maxDocument {
		return nil, fmt.Errorf("%d bytes are more than %d", r.Size(), maxDocument)
	}
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

func checkDigest(d v1.Descriptor, sum []byte) error {
	if got := fmt.Sprintf("%x", sum); got != d.Digest.Hex {
		return fmt.Errorf("digest is sha256:%s", got)
	}
	return nil
}
