package oci

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// TestTampering puts a proxy that changes what a registry answers between it and us.
func TestTampering(t *testing.T) {
	host := startRegistry(t, "")
	img, layers := threeLayerImage(t)
	digest := push(t, host+"/a:v1", img)
	gz := digestOf(layers[1].Data)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	tests := []struct {
		name, path string // of the answer to change
		change     func([]byte) []byte
		byTag      bool
		want       string
	}{
		{"layer changed", "blobs/" + gz.String(), flip, false, "layer 2 of "},
		{"layer truncated", "blobs/" + gz.String(), func(b []byte) []byte { return b[:len(b)/2] }, false, "layer 2 of "},
		{"layer longer", "blobs/" + gz.String(), func(b []byte) []byte { return append(b, 0) }, false, "layer 2 of "},
		{"another layer", "blobs/" + gz.String(), func([]byte) []byte { return layers[2].Data }, false, "layer 2 of "},
		{"layer is a page of HTML", "blobs/" + gz.String(), func([]byte) []byte { return []byte("<html>sorry</html>") }, false, "layer 2 of "},
		{"plain layer changed", "blobs/" + digestOf(layers[0].Data).String(), flip, false, "layer 1 of "},
		{"manifest changed", "manifests/" + digest.String(), flip, false, "manifest sha256:"},
		{"manifest of a tag changed after its digest was told", "manifests/v1", flip, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proxy := httptest.NewServer(tamper(t, host, tt.path, tt.change))
			defer proxy.Close()
			text := strings.TrimPrefix(proxy.URL, "http://") + "/a"
			if tt.byTag {
				text += ":v1"
			} else {
				text += "@" + digest.String()
			}
			cache := newCache(t)
			_, err := pull(t, &Client{}, cache, reference(t, text, ""))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("pull = %v; want an error with %q", err, tt.want)
			}
			for _, name := range cacheFiles(t, cache) {
				if strings.HasPrefix(name, "tmp/") || strings.HasSuffix(name, digestOf(layers[1].Plain).Hex) && strings.HasPrefix(tt.path, "blobs/"+gz.String()) {
					t.Errorf("%s is in the cache", name)
				}
			}
			// What went wrong once is no obstacle to the next attempt.
			got, err := pull(t, &Client{}, cache, reference(t, host+"/a@"+digest.String(), ""))
			if err != nil {
				t.Fatal(err)
			}
			checkContents(t, got, layers)
		})
	}
}

// tamper passes requests on to a registry and changes the body of one answer.
func tamper(t *testing.T, host, path string, change func([]byte) []byte) http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // of requests that are cancelled after the first error
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasSuffix(r.Request.URL.Path, path) || r.Request.Method != http.MethodGet {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = change(body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	}
	return proxy
}

// TestInterrupted ends a pull in the middle of a layer.
func TestInterrupted(t *testing.T) {
	img, layers := threeLayerImage(t)
	host := startRegistry(t, "")
	digest := push(t, host+"/a:v1", img)
	c := &Client{}
	opened, err := c.Open(context.Background(), reference(t, host+"/a@"+digest.String(), ""))
	if err != nil {
		t.Fatal(err)
	}
	cache := newCache(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err = cache.Fetch(ctx, opened.Layers, func(p Progress) { cancel() })
	if err == nil {
		t.Fatal("Fetch: no error after its context was cancelled")
	}
	for _, name := range cacheFiles(t, cache) {
		if strings.HasPrefix(name, "tmp/") || strings.HasSuffix(name, digestOf(layers[0].Plain).Hex) {
			t.Errorf("%s is in the cache", name)
		}
	}
}
