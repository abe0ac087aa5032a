// Package imagelayout reads the container images that an OS image carries: OCI
// image layouts (image-spec 1.1, image-layout.md), as directories or as tar archives
// of such directories, in layout.ImagesDir. ketchd imports them; the builder holds
// them against the same rules.
//
// Left out: compressed archives, and archives in Docker's own format (no
// index.json).
package imagelayout

import (
	"archive/tar"
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

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxIndex bounds index.json in bytes.
const maxIndex = 4 << 20

// nameAnnotation is where containerd and Docker keep an image's full name.
const nameAnnotation = "io.containerd.image.name"

// Layout is an open OCI image layout.
type Layout struct {
	Index ocispec.Index
	base  string // file name without its suffix: names images that have no name
	open  func(name string) (io.ReadCloser, error)
	close func() error
}

// Open opens the layout at path, a directory or a tar archive.
func Open(path string) (*Layout, error) {
	l, err := openFiles(path)
	if err != nil {
		return nil, err
	}
	if err := l.read(path); err != nil {
		l.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// OpenFiles opens a layout in a directory whose files open opens.
func OpenFiles(path string, open func(name string) (io.ReadCloser, error)) (*Layout, error) {
	l := &Layout{open: open, close: func() error { return nil }}
	return l, l.read(path)
}

// OpenArchive opens a layout in a tar archive.
func OpenArchive(path string, file ReadSeekerAt) (*Layout, error) {
	archive, err := listArchive(file)
	if err != nil {
		return nil, err
	}
	return OpenFiles(path, archive.open)
}

// read reads the index of a layout that lies at path.
func (l *Layout) read(path string) error {
	l.base = strings.TrimSuffix(filepath.Base(path), ".tar")
	return l.readIndex()
}

func openFiles(path string) (*Layout, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	if info.IsDir() {
		file.Close()
		files := os.DirFS(path)
		open := func(name string) (io.ReadCloser, error) { return files.Open(name) }
		return &Layout{open: open, close: func() error { return nil }}, nil
	}
	archive, err := listArchive(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read archive %s: %w", path, err)
	}
	return &Layout{open: archive.open, close: file.Close}, nil
}

// Close releases the archive.
func (l *Layout) Close() error { return l.close() }

func (l *Layout) readIndex() error {
	file, err := l.open(ocispec.ImageIndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		if docker, err := l.open("manifest.json"); err == nil {
			docker.Close()
			return errors.New("no index.json: an archive in Docker's own format, not an OCI image layout")
		}
		return errors.New("no index.json: not an OCI image layout")
	}
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxIndex+1))
	if err != nil {
		return fmt.Errorf("read index.json: %w", err)
	}
	if len(text) > maxIndex {
		return fmt.Errorf("index.json is over the limit of %d bytes", maxIndex)
	}
	if err := json.Unmarshal(text, &l.Index); err != nil {
		return fmt.Errorf("decode index.json: %w", err)
	}
	if len(l.Index.Manifests) == 0 {
		return errors.New("index.json names no image")
	}
	return nil
}

// Blob opens a blob for reading. Its digest is not checked here.
func (l *Layout) Blob(d digest.Digest) (io.ReadCloser, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d, err)
	}
	return l.open(path.Join("blobs", string(d.Algorithm()), d.Encoded()))
}

// Name is what an image of the index is called, in full: by its annotations;
// by the file's name if they give none, or give a tag only.
func (l *Layout) Name(image ocispec.Descriptor) (string, error) {
	name := image.Annotations[nameAnnotation]
	if name == "" {
		name = image.Annotations[ocispec.AnnotationRefName]
		if !strings.ContainsAny(name, "/:") {
			name = strings.TrimSuffix(l.base+":"+name, ":")
		}
	}
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	return named.String(), nil
}

// Image is an image of a layout, and what it is called.
type Image struct {
	Name       string // in full: docker.io/library/demo:latest
	Descriptor ocispec.Descriptor
}

// Images lists the images of the index. No two have one name.
func (l *Layout) Images() (images []Image, err error) {
	for _, d := range l.Index.Manifests {
		name, err := l.Name(d)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(images, func(i Image) bool { return i.Name == name }) {
			return nil, fmt.Errorf("two images are called %s", name)
		}
		images = append(images, Image{name, d})
	}
	return images, nil
}

// archive is where the files of a tar archive are in it.
type archive struct {
	tar   ReadSeekerAt
	files map[string]span
}

// ReadSeekerAt is an *os.File, or the like.
type ReadSeekerAt interface {
	io.ReadSeeker
	io.ReaderAt
}

type span struct{ offset, size int64 }

// listArchive reads the headers only: archive/tar seeks over the content.
func listArchive(file ReadSeekerAt) (*archive, error) {
	a := &archive{file, make(map[string]span)}
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if err == io.EOF {
			return a, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		a.files[path.Clean("/" + header.Name)[1:]] = span{offset, header.Size}
	}
}

func (a *archive) open(name string) (io.ReadCloser, error) {
	at, ok := a.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(a.tar, at.offset, at.size)), nil
}
