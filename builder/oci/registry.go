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
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

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

// registry is a repository of a registry as a source (OCI Distribution 1.1, "Pull").
type registry struct {
	repository name.Repository
	keychain   authn.Keychain
	transport  http.RoundTripper
	patience   patience
	secrets    *secrets

	mu     sync.Mutex
	client *http.Client // signed in, nil before
}

func (c *Client) registry(ref Reference) (*registry, error) {
	var options []name.Option
	next := c.Transport
	if next == nil {
		next = remote.DefaultTransport
	}
	guard := tlsOnly{impatient{next, c.patience}, c.Insecure}
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
	secrets := &secrets{}
	return &registry{repository: repository, keychain: keychain, transport: noting{guard, secrets}, patience: c.patience, secrets: secrets}, nil
}

// signIn returns a client with the registry's token or password.
func (r *registry) signIn(ctx context.Context) (*http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	auth, err := authn.Resolve(ctx, r.keychain, r.repository)
	if err != nil {
		return nil, err
	}
	r.secrets.noteSignIn(auth)
	signed, err := transport.NewWithContext(ctx, r.repository.Registry, auth, r.transport, []string{r.repository.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	r.client = &http.Client{Transport: signed, CheckRedirect: checkRedirect}
	return r.client, nil
}

// checkRedirect keeps a registry on the internet from sending us to an address
// of our own network, such as that of a cloud's metadata service.
func checkRedirect(to *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	ip := net.ParseIP(to.URL.Hostname())
	private := ip != nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
	if from := via[0].URL.Hostname(); private && to.URL.Hostname() != from {
		return hint.Add(fmt.Errorf("%s sends us to the private address %s", from, ip), "if you trust it, copy the image to a registry of your own first")
	}
	return nil
}

// get asks for a manifest or blob. The answer is good, or has no such range.
func (r *registry) get(ctx context.Context, kind, name string, header http.Header) (*http.Response, error) {
	client, err := r.signIn(ctx)
	if err != nil {
		return nil, err
	}
	at := url.URL{
		Scheme: r.repository.Scheme(), Host: r.repository.RegistryStr(),
		Path: "/v2/" + r.repository.RepositoryStr() + "/" + kind + "/" + name,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	answer, err := client.Do(request)
	if err != nil {
		return nil, withoutQuery(err)
	}
	good := []int{http.StatusOK}
	if header.Get("Range") != "" {
		good = append(good, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	}
	if err := transport.CheckError(answer, good...); err != nil {
		answer.Body.Close()
		return nil, err
	}
	return answer, nil
}

// withoutQuery takes the query off the address in an error: a registry redirects
// to addresses with a password in it.
func withoutQuery(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		if at, parseErr := url.Parse(failed.URL); parseErr == nil {
			failed.URL = shown(at)
		}
	}
	return err
}

// manifestTypes are the documents that a reader understands.
var manifestTypes = strings.Join([]string{
	string(types.OCIManifestSchema1), string(types.OCIImageIndex), string(types.DockerManifestSchema2), string(types.DockerManifestList),
}, ",")

// readManifest reads what a tag or a digest names, whole.
func (r *registry) readManifest(ctx context.Context, name string) (data []byte, media types.MediaType, err error) {
	err = r.patience.retry(ctx, func() error {
		answer, err := r.get(ctx, "manifests", name, http.Header{"Accept": {manifestTypes}})
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		media = types.MediaType(answer.Header.Get("Content-Type"))
		data, err = io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
		return err
	})
	return data, media, r.explain(err)
}

// resolve asks what a tag means.
func (r *registry) resolve(ctx context.Context, tag string) (v1.Descriptor, error) {
	data, media, err := r.readManifest(ctx, tag)
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(data))
	return v1.Descriptor{MediaType: media, Digest: digest, Size: size}, err
}

func (r *registry) manifest(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	data, _, err := r.readManifest(ctx, d.Digest.String())
	return io.NopCloser(bytes.NewReader(data)), err
}

func (r *registry) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	rc, err := r.open(ctx, d)
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
	place := "an address that is none"
	if at, err := url.Parse(d.URLs[0]); err == nil {
		place = shown(at)
	}
	return hint.Add(fmt.Errorf("foreign layer: %w", err),
		"the layer is kept at %s, which ketch does not fetch: copy the image with its foreign layers first", place)
}

// explain adds what can be done about an answer of a registry, and hides what nobody
// is to read.
func (r *registry) explain(err error) error {
	err = r.secrets.hide(err)
	host := r.repository.RegistryStr()
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return hint.Add(err, "log in with docker login %s, or let DOCKER_CONFIG name the directory that has the credentials", host)
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return hint.Add(err, "the registry %s has no such image: look at its name, tag and digest", host)
	case errors.Is(err, syscall.ECONNREFUSED):
		if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Addr != nil { // it may have sent us on
			host = failed.Addr.String()
		}
		return hint.Add(err, "nothing listens on %s: is the registry running?", host)
	case errors.Is(err, errIdle):
		return hint.Add(err, "the registry %s was there and fell silent: is the network up, is a proxy in between?", host)
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
		return nil, hint.Add(fmt.Errorf("%s %s: refused without TLS", r.Method, shown(r.URL)),
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
