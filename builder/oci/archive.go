package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/input"
	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

// dockerManifest is the file that lists the images of a docker archive.
const dockerManifest = "manifest.json"

// maxArchiveFiles bounds how many files an archive of images may have.
const maxArchiveFiles = 100_000

// archive is a tar archive of images: the files in it by name, and its links.
type archive struct {
	path  string
	files map[string]section
	links map[string]string
}

// indexArchive notes where in the archive its files are.
func indexArchive(name string) (*archive, error) {
	f, err := input.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	a := &archive{name, map[string]section{}, map[string]string{}}
	r := tarfile.NewReader(f, info.Size())
	for {
		e, err := r.Next()
		if err == io.EOF {
			return a, nil
		}
		if err != nil {
			return nil, hint.Add(fmt.Errorf("%s: %w", name, err), "an archive of docker save, not compressed, is expected")
		}
		if len(a.files)+len(a.links) >= maxArchiveFiles {
			return nil, fmt.Errorf("%s: more than %d files", name, maxArchiveFiles)
		}
		a.add(e)
	}
}

func (a *archive) add(e *tarfile.Entry) {
	name := inArchive(e.Name)
	switch e.Type {
	case tarfile.TypeRegular:
		if len(e.Pieces) <= 1 { // sparse files are not what docker save writes
			s := section{path: a.path, size: e.Size}
			if len(e.Pieces) == 1 && e.Pieces[0].Size == e.Size {
				s.offset = e.Pieces[0].At
			}
			a.files[name] = s
		}
	case tarfile.TypeSymlink: // older docker save links equal layers to one another
		a.links[name] = inArchive(path.Join(path.Dir(name), e.Link))
	case tarfile.TypeLink:
		a.links[name] = inArchive(e.Link)
	}
}

// inArchive makes one name of "a", "./a" and "/a".
func inArchive(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func (a *archive) find(name string) (section, error) {
	for range 10 {
		if s, ok := a.files[name]; ok {
			return s, nil
		}
		target, ok := a.links[name]
		if !ok {
			break
		}
		name = target
	}
	return section{}, &fs.PathError{Op: "open", Path: a.path + ":" + name, Err: fs.ErrNotExist}
}

// openArchive opens the one image of an archive: an OCI layout as a tar archive,
// which is what docker save has written since 25.0, or docker's own form.
func (c *Client) openArchive(ctx context.Context, ref Reference) (*Image, error) {
	a, err := indexArchive(ref.Path)
	if err != nil {
		return nil, err
	}
	_, errLayout := a.find(layoutMarker)
	_, errIndex := a.find(layoutIndex)
	if errLayout == nil && errIndex == nil {
		return c.openIndex(ctx, ref, a)
	}
	if _, err := a.find(dockerManifest); err != nil {
		return nil, hint.Add(fmt.Errorf("%s has neither %s nor %s", ref.Path, layoutIndex, dockerManifest),
			"an archive of docker save is expected, not one of docker export")
	}
	return c.openDocker(ctx, ref, a)
}

// openDocker opens the image of an archive in docker's own form (Docker Image
// Specification 1.2, "Combined Image JSON + Filesystem Changeset Format"). Its
// layers are known by their diffIDs only.
func (c *Client) openDocker(ctx context.Context, ref Reference, a *archive) (*Image, error) {
	var images []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := readJSON(a, dockerManifest, &images); err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, hint.Add(fmt.Errorf("%s: %d images", dockerManifest, len(images)), "save one image per archive")
	}
	img, err := c.dockerConfig(ctx, ref, a, images[0].Config)
	if err != nil {
		return nil, err
	}
	diffIDs := img.Config.RootFS.DiffIDs
	if len(diffIDs) != len(images[0].Layers) {
		return nil, fmt.Errorf("%d layers in %s, %d in the configuration", len(images[0].Layers), dockerManifest, len(diffIDs))
	}
	for i, file := range images[0].Layers {
		layer := Layer{Image: ref.Text, Position: i + 1, DiffID: diffIDs[i]}
		s, err := a.find(inArchive(file))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", layer, err)
		}
		layer.Descriptor.Size = s.size
		layer.source = docker{s}
		img.Layers = append(img.Layers, layer)
	}
	return img, nil
}

// dockerConfig reads the configuration. Where its file is named after its
// digest, as docker save does, it is held against that. Other tools call it
// what they like: then nothing says what it should be. The layers are held
// against the diffIDs in it in either case.
func (c *Client) dockerConfig(ctx context.Context, ref Reference, a *archive, file string) (*Image, error) {
	s, err := a.find(inArchive(file))
	if err != nil {
		return nil, err
	}
	hex := strings.TrimPrefix(strings.TrimSuffix(path.Base(file), ".json"), "sha256:")
	named, err := v1.NewHash("sha256:" + hex)
	if err != nil {
		named = v1.Hash{}
	}
	r := reader{docker{s}, ref, c.platform()}
	data, err := readDocument(ctx, r.source.blob, v1.Descriptor{Digest: named, Size: s.size})
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", file, err)
	}
	digest, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	config, err := parseConfig(data)
	if err != nil {
		return nil, err
	}
	return &Image{Reference: ref, Digest: digest, Config: config, RawConfig: data}, r.checkPlatform(config)
}

// docker is one file of a docker archive as a source.
type docker struct{ file section }

func (d docker) manifest(context.Context, v1.Descriptor) (io.ReadCloser, error) {
	return nil, errors.New("docker archives have no manifests")
}

func (d docker) blob(context.Context, v1.Descriptor) (io.ReadCloser, error) { return d.file.open() }

func (d docker) local(v1.Descriptor) (section, bool, error) { return d.file, true, nil }
