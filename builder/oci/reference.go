// Package oci gets the layers of container images: from a registry, from an
// OCI image layout directory, or from an archive that docker save or its peers
// wrote. Every manifest, configuration and layer is held against its digest
// while it is read; what comes out is the uncompressed tar archive of each
// layer, as a range of a local file.
//
// Specifications: OCI Image Format 1.1 (manifest, image index, image layout,
// layer media types), OCI Distribution 1.1, Docker Image Manifest V2 Schema 2,
// and Docker Image Specification 1.2 for the older archives. Left out: schema 1
// manifests, digests other than SHA-256, encrypted layers, and the URLs of
// foreign layers, which are never fetched.
package oci

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/hint"
)

// Transport says where an image comes from.
type Transport string

// The transports. In a reference the first has no prefix, the others their name and a colon.
const (
	Registry Transport = "registry"
	Layout   Transport = "oci"
	Archive  Transport = "archive"
)

// Reference names an image.
type Reference struct {
	Text      string // as it was written
	Transport Transport
	Path      string  // oci, archive: of the directory or file
	Name      string  // registry: the repository with its registry
	Tag       string  // may be empty
	Digest    v1.Hash // zero if none
}

// String returns the reference as it was written.
func (r Reference) String() string { return r.Text }

// Local says whether the image is in a file or directory.
func (r Reference) Local() bool { return r.Transport != Registry }

// ParseReference understands
//
//	registry/name:tag, registry/name@sha256:…, registry/name:tag@sha256:…
//	oci:DIR, oci:DIR:tag, oci:DIR@sha256:…
//	archive:FILE, or oci-archive:FILE, or docker-archive:FILE
//
// What form an archive has is read from it, whichever prefix was used.
// A digest counts more than a tag. Relative paths are relative to base. A name
// without a registry is one of Docker Hub's.
func ParseReference(text, base string) (Reference, error) {
	if bare, has := withoutUser(text); has {
		return Reference{}, hint.Add(fmt.Errorf("image reference %q: no user and no password belong into it", bare),
			"docker login keeps them for a registry; DOCKER_CONFIG names the directory where")
	}
	r, err := parseReference(text)
	if err != nil {
		return Reference{}, fmt.Errorf("image reference %q: %w", text, err)
	}
	if r.Local() && !filepath.IsAbs(r.Path) {
		r.Path = filepath.Join(base, r.Path)
	}
	return r, nil
}

// withoutUser takes what stands before an @, but for that of a digest, out of the name
// of a registry's image: it may be a password.
func withoutUser(text string) (bare string, has bool) {
	scheme, rest := "", text
	switch i := strings.Index(text, "://"); {
	case i >= 0:
		scheme, rest = text[:i+3], text[i+3:]
	case strings.HasPrefix(text, "oci:") || strings.Contains(strings.SplitN(text, ":", 2)[0], "archive"):
		return text, false
	}
	named, digest, _ := strings.Cut(rest, "@sha256:")
	at := strings.LastIndexByte(named, '@')
	if at < 0 {
		return text, false
	}
	if digest != "" {
		digest = "@sha256:" + digest
	}
	return scheme + "…" + named[at:] + digest, true
}

func parseReference(text string) (Reference, error) {
	for _, prefix := range []string{"archive:", "oci-archive:", "docker-archive:"} {
		file, ok := strings.CutPrefix(text, prefix)
		switch {
		case ok && file == "":
			return Reference{}, errors.New("no file name")
		case ok:
			return Reference{Text: text, Transport: Archive, Path: file}, nil
		}
	}
	if dir, ok := strings.CutPrefix(text, "oci:"); ok {
		return parseLayout(text, dir)
	}
	return parseRegistry(text)
}

// parseLayout reads what follows "oci:". What comes after the last colon is a
// tag if there is no slash in it.
func parseLayout(text, rest string) (Reference, error) {
	r := Reference{Text: text, Transport: Layout}
	rest, err := r.cutDigest(rest)
	if err != nil {
		return r, err
	}
	r.Path = rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.Contains(rest[i:], "/") {
		r.Path, r.Tag = rest[:i], rest[i+1:]
		if r.Tag == "" {
			return r, errors.New("empty tag")
		}
	}
	if r.Path == "" {
		return r, errors.New("no directory")
	}
	return r, nil
}

func parseRegistry(text string) (Reference, error) {
	r := Reference{Text: text, Transport: Registry}
	named, err := r.cutDigest(text)
	if err != nil {
		return r, err
	}
	if i := strings.LastIndexByte(named, ':'); i > strings.LastIndexByte(named, '/') {
		named, r.Tag = named[:i], named[i+1:]
	}
	if r.Tag == "" && r.Digest == (v1.Hash{}) {
		return r, hint.Add(errors.New("neither a tag nor a digest"), "name the version: %s:TAG or %s@sha256:…", named, named)
	}
	repository, err := name.NewRepository(named)
	if err != nil {
		return r, err
	}
	if r.Tag != "" {
		if _, err := name.NewTag(named + ":" + r.Tag); err != nil {
			return r, err
		}
	}
	r.Name = repository.Name()
	return r, nil
}

// cutDigest takes a digest off the end of a name.
func (r *Reference) cutDigest(text string) (string, error) {
	i := strings.LastIndex(text, "@sha256:")
	if i < 0 {
		return text, nil
	}
	var err error
	r.Digest, err = v1.NewHash(text[i+1:])
	return text[:i], err
}

// withoutImage is the reference as it was written, without tag and digest.
func (r Reference) withoutImage() string {
	text, _, _ := strings.Cut(r.Text, "@sha256:")
	if r.Tag != "" {
		text = strings.TrimSuffix(text, ":"+r.Tag)
	}
	return text
}

// key is the name of a tag in the lock file: the same for every way to write it.
func (r Reference) key() string { return r.Name + ":" + r.Tag }
