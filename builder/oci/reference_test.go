package oci

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestParseReference(t *testing.T) {
	sum := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	at := "@" + sum.String()
	tests := []struct {
		text string
		want Reference
	}{
		{"debian:12", Reference{Transport: Registry, Name: "index.docker.io/library/debian", Tag: "12"}},
		{"docker.io/library/debian:12", Reference{Transport: Registry, Name: "index.docker.io/library/debian", Tag: "12"}},
		{"localhost:5000/a/b:v1", Reference{Transport: Registry, Name: "localhost:5000/a/b", Tag: "v1"}},
		{"quay.io/a/b" + at, Reference{Transport: Registry, Name: "quay.io/a/b", Digest: sum}},
		{"127.0.0.1:5000/b:v1" + at, Reference{Transport: Registry, Name: "127.0.0.1:5000/b", Tag: "v1", Digest: sum}},
		{"oci:dir", Reference{Transport: Layout, Path: "/base/dir"}},
		{"oci:../dir:tag", Reference{Transport: Layout, Path: "/dir", Tag: "tag"}},
		{"oci:/a:b/c:tag", Reference{Transport: Layout, Path: "/a:b/c", Tag: "tag"}},
		{"oci:/a:b/c", Reference{Transport: Layout, Path: "/a:b/c"}},
		{"oci:/home/me@work/c" + at, Reference{Transport: Layout, Path: "/home/me@work/c", Digest: sum}},
		{"archive:x.tar", Reference{Transport: Archive, Path: "/base/x.tar"}},
		{"archive:/a:b/x.tar", Reference{Transport: Archive, Path: "/a:b/x.tar"}},
	}
	for _, tt := range tests {
		tt.want.Text = tt.text
		got, err := ParseReference(tt.text, "/base")
		if err != nil {
			t.Errorf("ParseReference(%q) = %v", tt.text, err)
		} else if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseReference(%q), -want +got:\n%s", tt.text, diff)
		}
	}
}

func TestParseReferenceErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "neither a tag nor a digest"},
		{"debian", "neither a tag nor a digest"},
		{"localhost:5000/debian", "neither a tag nor a digest"},
		{"debian:", "neither a tag nor a digest"},
		{"Debian:12", "repository can only contain"},
		{"debian:1 2", "tag can only contain"},
		{"debian@sha256:abc", "wrong number of hex digits"},
		{"oci:", "no directory"},
		{"oci:dir:", "empty tag"},
		{"oci::tag", "no directory"},
		{"archive:", "no file name"},
	}
	for _, tt := range tests {
		_, err := ParseReference(tt.text, "/base")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseReference(%q) = %v; want an error with %q", tt.text, err, tt.want)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, text := range []string{"debian:12", "oci:a:b", "archive:x", "a@sha256:" + strings.Repeat("0", 64)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseReference(text, "/base")
		if err == nil && (r.Text != text || r.Local() == (r.Path == "") || r.Local() != (r.Name == "")) {
			t.Errorf("ParseReference(%q) = %+v", text, r)
		}
	})
}
