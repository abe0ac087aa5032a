package oci

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/hint"
)

// The secrets of a talk with a registry. None has a part of another.
const (
	secretPassword = "pass-W0rd!"
	secretToken    = "t0ken-of-the-registry"
	secretQuery    = "signed-Query"
	secretUserinfo = "us3rinfo"
)

// TestSecretsStayHidden: whatever a registry answers, with all that it knows in it,
// no error repeats a password or a token.
func TestSecretsStayHidden(t *testing.T) {
	elsewhere := fmt.Sprintf("anna:%s@127.0.0.1:1/x?X-Signature=%s", secretUserinfo, secretQuery)
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	}
	// everything is a registry that repeats what it was sent.
	everything := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			r.ParseForm()
			fmt.Fprintln(w, "you sent", r.Header, r.Form, secretPassword)
		}
	}
	basic := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if _, _, ok := r.BasicAuth(); !ok {
				w.Header().Set("WWW-Authenticate", "Basic realm=x")
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next(w, r)
		}
	}
	bearer := func(token, next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/token":
				token(w, r)
			case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service=x`, r.Host))
				w.WriteHeader(http.StatusUnauthorized)
			default:
				next(w, r)
			}
		}
	}
	token := func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"token": %q}`, secretToken) }
	for name, answers := range map[string]http.HandlerFunc{
		"repeats the password":             basic(everything(http.StatusForbidden)),
		"repeats it with status 400":       basic(everything(http.StatusBadRequest)),
		"as a diagnosis":                   basic(diagnose),
		"repeats the token":                bearer(token, everything(http.StatusForbidden)),
		"repeats what gets a token":        bearer(everything(http.StatusForbidden), everything(http.StatusForbidden)),
		"a token that is none":             bearer(everything(http.StatusOK), everything(http.StatusForbidden)),
		"redirects to nobody":              basic(redirect("http://" + elsewhere)),
		"redirects to where TLS is spared": basic(redirect("http://" + strings.Replace(elsewhere, "127.0.0.1:1", "registry.example", 1))),
		"redirects to no address":          basic(redirect("http://[" + elsewhere)),
		"redirects to another scheme":      basic(redirect("gopher://" + elsewhere)),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answers)
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "http://")
			config := filepath.Join(t.TempDir(), "config.json")
			put(t, config, fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, host, base64.StdEncoding.EncodeToString([]byte("anna:"+secretPassword))))
			t.Setenv("DOCKER_CONFIG", filepath.Dir(config))
			client := &Client{patience: (&clock{}).patience()}
			_, err := client.Open(t.Context(), reference(t, host+"/a:v1", ""))
			if err == nil {
				t.Fatal("Open succeeded")
			}
			text := err.Error() + hint.Of(err)
			for _, secret := range []string{
				secretPassword, secretToken, secretQuery, secretUserinfo, base64.StdEncoding.EncodeToString([]byte("anna:" + secretPassword)),
			} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in the error: %s", secret, text)
				}
			}
			t.Log(text)
		})
	}
}

// diagnose is an error as the specification has it (OCI Distribution 1.1, "Error Codes").
func diagnose(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, `{"errors": [{"code": "DENIED", "message": %q, "detail": {"sent": %q}}]}`, secretPassword, r.Header.Get("Authorization"))
}

// TestReferenceWithPassword: a password in a reference is refused, and not repeated.
func TestReferenceWithPassword(t *testing.T) {
	for _, text := range []string{
		"anna:secret1@registry.example/a:v1", "https://anna:secret1@registry.example/a:v1", "anna:secret1@registry.example/a@sha256:" + strings.Repeat("0", 64),
		"docker://anna:secret1@registry.example/a:v1", "secret1@registry.example/a:v1",
	} {
		_, err := ParseReference(text, "/base")
		if err == nil || strings.Contains(err.Error()+hint.Of(err), "secret1") || !strings.Contains(hint.Of(err), "docker login") {
			t.Errorf("ParseReference(%q) = %v, hint %q; want an error without the password", text, err, hint.Of(err))
		}
	}
}
