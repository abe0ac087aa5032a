package oci

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/testkit"
)

const registryConfig = `
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
http:
  addr: %s
%s`

// startRegistry runs Debian's docker-registry on this machine until the test ends.
func startRegistry(t *testing.T, extra string) (host string) {
	t.Helper()
	tool := testkit.Tool(t, "docker-registry")
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host = l.Addr().String()
	l.Close()
	config := filepath.Join(dir, "config.yml")
	put(t, config, fmt.Appendf(nil, registryConfig, filepath.Join(dir, "data"), host, extra))
	cmd := exec.Command(tool, "serve", config)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("docker-registry said: %s", log.String())
		}
	})
	testkit.Eventually(t, "docker-registry answers", func() bool {
		c, err := net.Dial("tcp", host)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return host
}

// push pushes the images of a layout, given as image or index, and returns its digest.
func push(t *testing.T, ref string, what remote.Taggable, options ...remote.Option) v1.Hash {
	t.Helper()
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	switch w := what.(type) {
	case v1.Image:
		err = remote.Write(tag, w, options...)
	case v1.ImageIndex:
		err = remote.WriteIndex(tag, w, options...)
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(tag, options...)
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

// threeLayerImage is the image of threeLayers in go-containerregistry's form.
func threeLayerImage(t *testing.T) (v1.Image, []stored) {
	t.Helper()
	dir, layers := t.TempDir(), threeLayers(t)
	b := blobs{}
	root := b.image(t, layers, nil)
	b.write(t, dir, map[string]v1.Descriptor{"": root})
	path, err := ocilayout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	img, err := path.Image(root.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img, layers
}

func TestRegistry(t *testing.T) {
	host := startRegistry(t, "")
	img, layers := threeLayerImage(t)
	digest := push(t, host+"/a/three:v1", img)
	foreign, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	random := noise(t, 2)
	push(t, host+"/noise:v1", random)
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: foreign, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	push(t, host+"/a/many:v1", index)

	for _, tt := range []struct {
		text string
		want []stored
	}{
		{host + "/a/three:v1", layers},
		{host + "/a/three@" + digest.String(), layers},
		{host + "/a/three:gone@" + digest.String(), layers},
		{host + "/a/many:v1", layers},
		{host + "/noise:v1", contentsOf(t, random)},
	} {
		got, err := pull(t, &Client{}, newCache(t), reference(t, tt.text, ""))
		if err != nil {
			t.Fatalf("pull(%q) = %v", tt.text, err)
		}
		checkContents(t, got, tt.want)
	}

	for _, tt := range []struct{ text, want, hint string }{
		{host + "/a/three:v2", "MANIFEST_UNKNOWN", "has no such image"},
		{host + "/nothing:v1", "MANIFEST_UNKNOWN", "has no such image"},
		{host + "/a/three@sha256:" + strings.Repeat("0", 64), "MANIFEST_UNKNOWN", "has no such image"},
	} {
		_, err := pull(t, &Client{}, newCache(t), reference(t, tt.text, ""))
		checkError(t, tt.text, err, tt.want, tt.hint)
	}
}

func checkError(t *testing.T, what string, err error, want, advice string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v; want an error with %q", what, err, want)
	} else if !strings.Contains(hint.Of(err), advice) {
		t.Errorf("%s: hint %q; want one with %q", what, hint.Of(err), advice)
	}
}

func TestRegistryLock(t *testing.T) {
	host := startRegistry(t, "")
	first, layers := threeLayerImage(t)
	text := host + "/a:v1"
	old := push(t, text, first)
	file := filepath.Join(t.TempDir(), "def.lock")
	ctx := context.Background()
	// open opens the tag as a build does: lock file, image, lock file.
	open := func(update bool) *Image {
		t.Helper()
		lock, err := LoadLock(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &Client{Lock: lock, Update: update}
		img, err := c.Open(ctx, reference(t, text, ""))
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Save(file); err != nil {
			t.Fatal(err)
		}
		return img
	}
	if got := open(false); got.Digest != old || len(got.Layers) != len(layers) {
		t.Errorf("first: %s, %d layers; want %s, %d", got.Digest, len(got.Layers), old, len(layers))
	}
	moved := noise(t, 1)
	now := push(t, text, moved)
	if got := open(false); got.Digest != old {
		t.Errorf("the tag moved in the registry, and the lock followed it: %s", got.Digest)
	}
	if got := open(true); got.Digest != now {
		t.Errorf("update: %s; want %s", got.Digest, now)
	}
	if got := open(false); got.Digest != now {
		t.Errorf("after the update: %s; want %s", got.Digest, now)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := lockHeader + text + " " + now.String() + "\n"; string(data) != want {
		t.Errorf("lock file:\n%s\nwant:\n%s", data, want)
	}
}

// noise is an image of random layers for our platform.
func noise(t *testing.T, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(2000, layers)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.ConfigFile(img, amd64(t, img)); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestRegistryPassword(t *testing.T) {
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	htpasswd := filepath.Join(dir, "htpasswd")
	put(t, htpasswd, fmt.Appendf(nil, "anna:%s\n", hash))
	host := startRegistry(t, fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", htpasswd))
	img, layers := threeLayerImage(t)
	push(t, host+"/a:v1", img, remote.WithAuth(&authn.Basic{Username: "anna", Password: "secret"}))
	login := func(user string) {
		config := filepath.Join(t.TempDir(), "config.json")
		put(t, config, fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user))))
		t.Setenv("DOCKER_CONFIG", filepath.Dir(config))
	}
	ref := reference(t, host+"/a:v1", "")

	login("anna:secret")
	got, err := pull(t, &Client{}, newCache(t), ref)
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, layers)

	login("anna:wrong")
	_, err = pull(t, &Client{}, newCache(t), ref)
	checkError(t, "wrong password", err, "UNAUTHORIZED", "docker login "+host)

	t.Setenv("DOCKER_CONFIG", t.TempDir())
	_, err = pull(t, &Client{}, newCache(t), ref)
	checkError(t, "no password", err, "UNAUTHORIZED", "docker login "+host)
}

// authority makes a certificate authority and a certificate of it for 127.0.0.1.
func authority(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	certificate := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
		der, err := x509.CreateCertificate(crand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	caKey, key := newKey(), newKey()
	caTemplate := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca := certificate(caTemplate, caTemplate, caKey, caKey)
	leaf := certificate(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "registry"},
		NotBefore: caTemplate.NotBefore, NotAfter: caTemplate.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, ca, key, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "crt.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	put(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool
}

func TestRegistryTLS(t *testing.T) {
	dir := t.TempDir()
	pool := authority(t, dir)
	host := startRegistry(t, fmt.Sprintf("  tls: {certificate: %q, key: %q}\n", filepath.Join(dir, "crt.pem"), filepath.Join(dir, "key.pem")))
	trusting := http.DefaultTransport.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{RootCAs: pool}
	img, layers := threeLayerImage(t)
	push(t, host+"/a:v1", img, remote.WithTransport(trusting))
	ref := reference(t, host+"/a:v1", "")

	got, err := pull(t, &Client{Transport: trusting}, newCache(t), ref)
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, got, layers)

	_, err = pull(t, &Client{}, newCache(t), ref)
	checkError(t, "unknown authority", err, "certificate signed by unknown authority", "SSL_CERT_FILE")
}

func TestRegistryDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	_, err = pull(t, &Client{}, newCache(t), reference(t, host+"/a:v1", ""))
	checkError(t, "registry down", err, "connection refused", "nothing listens on "+host)
}

// TestPlainHTTP makes sure that nothing goes out without TLS to a registry that
// is not on this machine, private addresses included.
func TestPlainHTTP(t *testing.T) {
	asked := ""
	network := roundTripper(func(r *http.Request) (*http.Response, error) {
		asked += r.URL.Scheme + " "
		return nil, fmt.Errorf("no route")
	})
	for _, tt := range []struct {
		host     string
		insecure []string
		plain    bool
	}{
		{"registry.example", nil, false},
		{"10.1.2.3:5000", nil, false},
		{"192.168.1.1", nil, false},
		{"box.local:5000", nil, false},
		{"10.1.2.3:5000", []string{"10.1.2.3:5000"}, true},
		{"10.1.2.3:5000", []string{"10.1.2.3"}, true},
		{"127.0.0.1:1", nil, true},
		{"localhost:1", nil, true},
		{"[::1]:1", nil, true},
	} {
		asked = ""
		c := &Client{Transport: network, Insecure: tt.insecure}
		_, err := c.Open(context.Background(), reference(t, tt.host+"/a:v1", ""))
		if err == nil {
			t.Fatalf("%s: no error", tt.host)
		}
		if plain := strings.Contains(asked, "http "); plain != tt.plain {
			t.Errorf("%s, insecure %q: asked by %q; want plain HTTP %v", tt.host, tt.insecure, asked, tt.plain)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
