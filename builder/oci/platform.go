package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/hint"
)

// baseline are the variants of an architecture that each of its processors runs
// (image-spec, "Platform Variants"); an image without a variant is one of them.
var baseline = map[string][]string{
	"amd64": {"v1"},
	"arm64": {"v8"},
}

// runsOn says whether an image for one platform runs on every machine of another.
func runsOn(have, want v1.Platform) bool {
	if have.OS != want.OS || have.Architecture != want.Architecture {
		return false
	}
	if have.Variant == "" || have.Variant == want.Variant {
		return true
	}
	return want.Variant == "" && slices.Contains(baseline[want.Architecture], have.Variant)
}

// choose picks the manifest for the platform. Descriptors need not tell their
// platform (image-spec, "Image Index Property Descriptions"): those that do are
// looked at first, and then the configurations of the others.
func (r reader) choose(ctx context.Context, manifests []v1.Descriptor, depth int) (v1.Descriptor, error) {
	var have []string
	var silent []v1.Descriptor
	for _, d := range manifests {
		switch {
		case d.Platform == nil:
			silent = append(silent, d)
		case runsOn(*d.Platform, r.platform):
			return d, nil
		case d.Platform.OS != "unknown": // attestations of BuildKit
			have = append(have, d.Platform.String())
		}
	}
	if len(manifests) == 1 && len(silent) == 1 {
		return silent[0], nil
	}
	var unread []error
	for _, d := range silent {
		platform, err := r.platformOf(ctx, d, depth)
		switch {
		case err != nil:
			unread = append(unread, err)
		case runsOn(platform, r.platform):
			return d, nil
		default:
			have = append(have, platform.String())
		}
	}
	return v1.Descriptor{}, r.noImage(have, unread)
}

// platformOf reads what an image's configuration says about its platform. An
// index without a platform of its own is for the one that it has an image for.
func (r reader) platformOf(ctx context.Context, d v1.Descriptor, depth int) (v1.Platform, error) {
	if err := checkDescriptor(d); err != nil {
		return v1.Platform{}, err
	}
	manifest, err := r.resolve(ctx, d, depth+1)
	if err != nil {
		return v1.Platform{}, err
	}
	if !manifest.Config.MediaType.IsConfig() {
		return v1.Platform{}, fmt.Errorf("manifest %s: its configuration, of media type %s, is not that of an image", d.Digest, manifest.Config.MediaType)
	}
	config, _, err := r.readConfig(ctx, manifest.Config)
	if err != nil {
		return v1.Platform{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}, nil
}

// noImage says that an index has no image for the platform, and for which it has.
func (r reader) noImage(have []string, unread []error) error {
	err := fmt.Errorf("no image for %s", r.platform)
	switch {
	case len(have) > 0:
		err = fmt.Errorf("%w, only for: %s", err, strings.Join(have, ", "))
	case len(unread) == 0:
		err = fmt.Errorf("%w, nor for any other platform", err)
	}
	if slices.ContainsFunc(have, func(p string) bool { return strings.HasPrefix(p, r.platform.String()+"/") }) {
		err = hint.Add(err, "the variants need more than every processor of %s has: name one by its digest if your machines have it", r.platform)
	}
	return errors.Join(append([]error{err}, unread...)...)
}
