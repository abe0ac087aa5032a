package oci

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Names lists what an image is called in the file that it comes from: by the
// annotations of an OCI layout's index (containerd's full name, or else the
// specification's, which is often a bare tag), or by the tags in docker's own
// manifest. An image of a registry has no other name than its reference.
func (i *Image) Names() ([]string, error) {
	ref := i.Reference
	switch ref.Transport {
	case Layout:
		return indexNames(directory(ref.Path), i.Digest)
	case Archive:
		a, err := indexArchive(ref.Path)
		if err != nil {
			return nil, err
		}
		if _, err := a.find(layoutIndex); err == nil {
			return indexNames(a, i.Digest)
		}
		var images []struct{ RepoTags []string }
		if err := readJSON(a, dockerManifest, &images); err != nil {
			return nil, err
		}
		if len(images) != 1 {
			return nil, fmt.Errorf("%s: %d images", dockerManifest, len(images))
		}
		return images[0].RepoTags, nil
	}
	return nil, nil
}

func indexNames(files files, digest v1.Hash) (names []string, err error) {
	data, err := readFile(files, layoutIndex)
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(strings.NewReader(string(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", layoutIndex, err)
	}
	for _, d := range index.Manifests {
		name := d.Annotations[annotationName]
		if name == "" {
			name = d.Annotations[annotationRef]
		}
		if d.Digest == digest && name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}
