package oci

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Parallel is how many images are opened, or layers fetched, at a time.
const Parallel = 4

// Client opens images. Its zero value uses the credentials of docker login, TLS,
// and the images for linux/amd64, and resolves every tag.
type Client struct {
	Keychain  authn.Keychain    // nil: authn.DefaultKeychain
	Transport http.RoundTripper // nil: remote.DefaultTransport
	// Insecure are the registries, as host or host:port, that may be spoken to
	// without TLS. Those on this machine always may.
	Insecure []string
	Platform v1.Platform // zero: linux/amd64
	// Lock gives the digests of tags and takes those of tags that it does not know.
	Lock *Lock
	// Update resolves every tag anew and moves it in the lock.
	Update bool

	patience patience
}

// Open finds an image and verifies its manifest and configuration.
func (c *Client) Open(ctx context.Context, ref Reference) (*Image, error) {
	img, err := c.open(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	return img, nil
}

func (c *Client) open(ctx context.Context, ref Reference) (*Image, error) {
	switch ref.Transport {
	case Registry:
		return c.openRegistry(ctx, ref)
	case Layout:
		return c.openLayout(ctx, ref)
	case Archive:
		return c.openArchive(ctx, ref)
	}
	return nil, fmt.Errorf("unknown transport %q", ref.Transport)
}

func (c *Client) platform() v1.Platform {
	if c.Platform.OS == "" {
		return v1.Platform{OS: "linux", Architecture: "amd64"}
	}
	return c.Platform
}
