package fetch

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/internal/config"
)

// TestAsk: whoever answers is bounded, and cannot send the machine elsewhere.
func TestAsk(t *testing.T) {
	release := make(chan struct{})
	elsewhere := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
			fmt.Fprint(w, "yes")
		case "/large":
			fmt.Fprint(w, strings.Repeat("a", 1001))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat("a", 4096)); err != nil {
					return
				}
			}
		case "/slow":
			<-release
		case "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/elsewhere":
			elsewhere++
		case "/html":
			fmt.Fprint(w, "<!DOCTYPE html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	defer close(release)
	c := &Client{}
	for path, want := range map[string]string{
		"/good": "", "/html": "", "/large": "more than 1000 bytes", "/endless": "more than 1000 bytes", "/moved": "answers 302", "/none": "answers 404",
	} {
		answer, err := c.Ask(t.Context(), http.MethodGet, server.URL+path, nil, 1000)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Ask(%s) = %v; want %q", path, err, want)
		}
		if err == nil && answer.HTML() != (path == "/html") {
			t.Errorf("Ask(%s): HTML() = %v", path, answer.HTML())
		}
		if NotFound(err) != (path == "/none") {
			t.Errorf("NotFound(%v) = %v", err, NotFound(err))
		}
	}
	if elsewhere > 0 {
		t.Error("a redirect was followed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Ask(ctx, http.MethodGet, server.URL+"/slow", nil, 1000); err == nil || !Unreachable(err) {
		t.Errorf("Ask(/slow) = %v; want that nobody was reached", err)
	}
	for url, want := range map[string]bool{"http://127.0.0.1:1/": true, "http://nobody.invalid/": true, server.URL + "/none": false} {
		if _, err := c.Ask(t.Context(), http.MethodGet, url, nil, 1000); Unreachable(err) != want {
			t.Errorf("Unreachable(%v) = %v; want %v", err, !want, want)
		}
	}
}

// TestSecrets: what an error shows of a URL lets nobody get what it leads to.
func TestSecrets(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "http://bob:hunter2@127.0.0.1:1/f?hunter2", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	host := server.Listener.Addr().String()
	for url, want := range map[string]string{
		"http://bob:hunter2@" + host + "/f?sig=hunter2":     "http://" + host + "/f answers 403",
		"http://bob:hunter2@" + host + "/moved?sig=hunter2": `"http://127.0.0.1:1/f"`,
		"http://bob:hunter2@127.0.0.1:1/f?sig=hunter2":      `"http://127.0.0.1:1/f"`,
		"http://bob:hunter2@127.0.0.1:x/f?sig=hunter2":      "cannot be read",
	} {
		contents := config.Contents{Source: url}
		_, err := new(Client).Fetch(t.Context(), url)
		_, loadErr := contents.Load(t.Context(), new(Client))
		_, noneErr := contents.Load(t.Context(), nil)
		if err == nil || loadErr == nil || noneErr == nil || !strings.Contains(err.Error(), want) || !strings.Contains(loadErr.Error(), want) {
			t.Errorf("Fetch(%s) = %v, Load = %v; want %q", url, err, loadErr, want)
		}
		if text := fmt.Sprint(err, loadErr, noneErr); strings.Contains(text, "hunter2") || strings.Contains(text, "bob") {
			t.Errorf("errors show a secret: %s", text)
		}
	}
}

// TestFetch: content may be elsewhere, but not without TLS where there was some.
func TestFetch(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/large":
			w.Write(make([]byte, config.MaxContents+1))
		default:
			fmt.Fprint(w, "yes")
		}
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, plain.URL+"/good", http.StatusFound)
			return
		}
		fmt.Fprint(w, "yes")
	}))
	defer secure.Close()
	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())
	trusting := &Client{Roots: pool}
	for _, test := range []struct {
		c    *Client
		url  string
		want string
	}{
		{trusting, plain.URL + "/moved", ""},
		{trusting, plain.URL + "/round", "sent elsewhere more than"},
		{trusting, plain.URL + "/large", "more than"},
		{trusting, secure.URL + "/good", ""},
		{trusting, secure.URL + "/down", "without TLS"},
		{&Client{Roots: x509.NewCertPool()}, secure.URL + "/good", "certificate"},
	} {
		data, err := test.c.Fetch(t.Context(), test.url)
		if test.want == "" && (err != nil || string(data) != "yes") || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("Fetch(%s) = %q, %v; want %q", test.url, data, err, test.want)
		}
	}
}
