package oci

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/ketch-os/ketch/builder/hint"
)

// openRegistry opens an image in a registry: by its digest, by the digest that
// the lock has for its tag, or by what its tag means now.
func (c *Client) openRegistry(ctx context.Context, ref Reference) (*Image, error) {
	r, err := c.registry(ref)
	if err != nil {
		return nil, err
	}
	digest := ref.Digest
	if digest == (v1.Hash{}) && !c.Update {
		digest, _ = c.Lock.get(ref.key())
	}
	root := v1.Descriptor{Digest: digest, Size: -1}
	if digest == (v1.Hash{}) {
		if root, err = r.resolve(ctx, ref.Tag); err != nil {
			return nil, err
		}
	}
	img, err := reader{r, ref, c.platform()}.image(ctx, root)
	if err != nil {
		return nil, err
	}
	if ref.Digest == (v1.Hash{}) {
		c.Lock.set(ref.key(), root.Digest)
	}
	return img, nil
}

// registry is a repository of a registry as a source.
type registry struct {
	repository name.Repository
	puller     *remote.Puller
}

func (c *Client) registry(ref Reference) (*registry, error) {
	var options []name.Option
	guard := tlsOnly{c.Transport, c.Insecure}
	repository, err := name.NewRepository(ref.Name)
	if err != nil {
		return nil, err
	}
	if guard.mayBePlain(repository.RegistryStr()) {
		options = append(options, name.Insecure)
	}
	if repository, err = name.NewRepository(ref.Name, options...); err != nil {
		return nil, err
	}
	keychain := c.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	if guard.next == nil {
		guard.next = remote.DefaultTransport
	}
	puller, err := remote.NewPuller(remote.WithAuthFromKeychain(keychain), remote.WithTransport(guard))
	if err != nil {
		return nil, err
	}
	return &registry{repository, puller}, nil
}

// resolve asks what a tag means.
func (r *registry) resolve(ctx context.Context, tag string) (v1.Descriptor, error) {
	d, err := r.puller.Get(ctx, r.repository.Tag(tag))
	if err != nil {
		return v1.Descriptor{}, r.explain(err)
	}
	return d.Descriptor, nil
}

func (r *registry) manifest(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	got, err := r.puller.Get(ctx, r.repository.Digest(d.Digest.String()))
	if err != nil {
		return nil, r.explain(err)
	}
	return io.NopCloser(bytes.NewReader(got.Manifest)), nil
}

func (r *registry) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	layer, err := r.puller.Layer(ctx, r.repository.Digest(d.Digest.String()))
	if err != nil {
		return nil, r.explain(err)
	}
	rc, err := layer.Compressed()
	if err != nil {
		err = r.explain(err)
		if len(d.URLs) > 0 {
			err = foreign(err, d)
		}
		return nil, err
	}
	return rc, nil
}

func (r *registry) local(v1.Descriptor) (section, bool, error) { return section{}, false, nil }

// foreign explains that a layer is kept elsewhere than its image.
func foreign(err error, d v1.Descriptor) error {
	return hint.Add(fmt.Errorf("foreign layer: %w", err),
		"the layer is kept at %s, which ketch does not fetch: copy the image with its foreign layers first", d.URLs[0])
}

// explain adds what can be done about an answer of a registry.
func (r *registry) explain(err error) error {
	host := r.repository.RegistryStr()
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return hint.Add(err, "log in with docker login %s, or let DOCKER_CONFIG name the directory that has the credentials", host)
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return hint.Add(err, "the registry %s has no such image: look at its name, tag and digest", host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return hint.Add(err, "nothing listens on %s: is the registry running?", host)
	case isTLS(err):
		return hint.Add(err, "let SSL_CERT_FILE name the certificate of the registry's authority")
	}
	return err
}

func isTLS(err error) bool {
	var authority x509.UnknownAuthorityError
	return errors.As(err, &authority)
}

// tlsOnly keeps requests from going out without TLS, redirects included.
// go-containerregistry falls back to HTTP for every private network.
type tlsOnly struct {
	next     http.RoundTripper
	insecure []string
}

// RoundTrip implements http.RoundTripper.
func (t tlsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !t.mayBePlain(r.URL.Host) {
		return nil, hint.Add(fmt.Errorf("%s %s: refused without TLS", r.Method, r.URL.Redacted()),
			"list %s as insecure in the definition if you trust the network", r.URL.Host)
	}
	return t.next.RoundTrip(r)
}

// mayBePlain says whether a host may be spoken to without TLS.
func (t tlsOnly) mayBePlain(host string) bool {
	bare := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		bare = h
	}
	if ip := net.ParseIP(bare); bare == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}
	return slices.Contains(t.insecure, host) || slices.Contains(t.insecure, bare)
}
