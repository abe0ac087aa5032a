package workload

import (
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestArguments(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"cmd"}}
	for _, test := range []struct {
		name    string
		service Service
		config  ocispec.ImageConfig
		want    []string
	}{
		{"the image's", Service{}, image, []string{"/entry", "cmd"}},
		{"own command", Service{Command: []string{"x", "y"}}, image, []string{"/entry", "x", "y"}},
		{"no command", Service{Command: []string{}}, image, []string{"/entry"}},
		{"own entrypoint drops the command", Service{Entrypoint: []string{"/x"}}, image, []string{"/x"}},
		{"no entrypoint", Service{Entrypoint: []string{}, Command: []string{"x"}}, image, []string{"x"}},
		{"nothing", Service{}, ocispec.ImageConfig{}, nil},
	} {
		if got := arguments(test.service, test.config); !slices.Equal(got, test.want) {
			t.Errorf("%s: arguments = %q; want %q", test.name, got, test.want)
		}
	}
}

func TestDigest(t *testing.T) {
	base := Service{Name: "a", Image: "demo", File: "x.yaml", Restart: Restart{When: Always}}
	same, other, cleared := base, base, base
	same.File, same.Restart = "y.yaml", Restart{When: Never}
	other.User = "1"
	cleared.Command = []string{}
	digest := func(s Service, extra ...string) string {
		d, err := s.digest(extra...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if digest(base) != digest(same) {
		t.Error("file or restart policy change the digest")
	}
	for name, changed := range map[string]string{"user": digest(other), "empty command": digest(cleared), "image": digest(base, "sha256:1")} {
		if changed == digest(base) {
			t.Errorf("%s does not change the digest", name)
		}
	}
}
