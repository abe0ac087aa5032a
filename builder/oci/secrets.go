package oci

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

// secrets are what a registry was told, or has told us, and nobody is to read in an
// error: passwords, tokens, and what is signed in the addresses of its redirects. A
// registry may repeat in its answers whatever it was sent.
type secrets struct {
	mu    sync.Mutex
	known []string // longest first
}

// shortSecret is, in bytes, what is too short to be told from a word.
const shortSecret = 4

// note remembers secrets.
func (s *secrets) note(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if len(v) >= shortSecret && !slices.Contains(s.known, v) {
			s.known = append(s.known, v)
		}
	}
	slices.SortFunc(s.known, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// noteSignIn remembers what a registry will be told.
func (s *secrets) noteSignIn(auth authn.Authenticator) {
	if config, err := auth.Authorization(); err == nil {
		s.note(config.Password, config.Auth, config.IdentityToken, config.RegistryToken)
	}
}

// noteHeader remembers what a request says to be let in (RFC 9110, 11.4).
func (s *secrets) noteHeader(header http.Header) {
	for _, value := range header.Values("Authorization") {
		_, credentials, _ := strings.Cut(value, " ")
		s.note(credentials)
		if plain, err := base64.StdEncoding.DecodeString(credentials); err == nil { // RFC 7617, 2
			_, password, _ := strings.Cut(string(plain), ":")
			s.note(password)
		}
	}
}

// noteRedirect remembers what lets others in at the address that an answer leads to.
func (s *secrets) noteRedirect(location string) {
	at, err := url.Parse(location)
	if err != nil {
		s.note(location)
		return
	}
	if password, ok := at.User.Password(); ok {
		s.note(password, url.QueryEscape(password))
	}
	s.note(at.RawQuery)
	for _, values := range at.Query() {
		s.note(values...)
	}
}

// hide is err without secrets in its text.
func (s *secrets) hide(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := err.Error()
	for _, v := range s.known {
		text = strings.ReplaceAll(text, v, "…")
	}
	if text == err.Error() {
		return err
	}
	return &hidden{text, err}
}

// hidden is an error with another text.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.err }

// noting remembers the secrets of what goes through it.
type noting struct {
	next    http.RoundTripper
	secrets *secrets
}

// RoundTrip implements http.RoundTripper.
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	n.secrets.noteHeader(r.Header)
	answer, err := n.next.RoundTrip(r)
	if err == nil {
		n.secrets.noteRedirect(answer.Header.Get("Location"))
	}
	return answer, err
}

// shown is an address as anybody may read it: without a password and without what
// comes after the path.
func shown(at *url.URL) string {
	bare := *at
	bare.RawQuery, bare.Fragment = "", ""
	return bare.Redacted()
}
