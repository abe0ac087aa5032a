package workload

import (
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/internal/compose"
)

func TestArguments(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"cmd"}}
	for _, test := range []struct {
		name    string
		service compose.Service
		config  ocispec.ImageConfig
		want    []string
	}{
		{"the image's", compose.Service{}, image, []string{"/entry", "cmd"}},
		{"own command", compose.Service{Command: []string{"x", "y"}}, image, []string{"/entry", "x", "y"}},
		{"no command", compose.Service{Command: []string{}}, image, []string{"/entry"}},
		{"own entrypoint drops the command", compose.Service{Entrypoint: []string{"/x"}}, image, []string{"/x"}},
		{"no entrypoint", compose.Service{Entrypoint: []string{}, Command: []string{"x"}}, image, []string{"x"}},
		{"nothing", compose.Service{}, ocispec.ImageConfig{}, nil},
	} {
		if got := arguments(test.service, test.config); !slices.Equal(got, test.want) {
			t.Errorf("%s: arguments = %q; want %q", test.name, got, test.want)
		}
	}
}

// TestLimitOptions: what the runtime is asked for, in its own units.
func TestLimitOptions(t *testing.T) {
	number, quota, period := int64(100), int64(50_000), uint64(100_000)
	memory := int64(64 << 20)
	for _, test := range []struct {
		limits compose.Limits
		want   *specs.LinuxResources
	}{
		{compose.Limits{}, nil},
		{compose.Limits{Memory: memory}, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory}}},
		{compose.Limits{CPUs: 0.5}, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}}},
		{compose.Limits{PIDs: number}, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &number}}},
	} {
		spec := &oci.Spec{Linux: &specs.Linux{}}
		for _, option := range limitOptions(test.limits) {
			if err := option(t.Context(), nil, nil, spec); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(test.want, spec.Linux.Resources); diff != "" {
			t.Errorf("resources for %+v (-want +got):\n%s", test.limits, diff)
		}
	}
}

func TestDigest(t *testing.T) {
	base := compose.Service{Name: "a", Image: "demo", File: "x.yaml", Restart: compose.Restart{When: compose.Always}}
	same, other, cleared := base, base, base
	same.File, same.Restart = "y.yaml", compose.Restart{When: compose.Never}
	other.User = "1"
	cleared.Command = []string{}
	sum := func(s compose.Service, extra ...string) string {
		d, err := digest(s, extra...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if sum(base) != sum(same) {
		t.Error("file or restart policy change the digest")
	}
	for name, changed := range map[string]string{"user": sum(other), "empty command": sum(cleared), "image": sum(base, "sha256:1")} {
		if changed == sum(base) {
			t.Errorf("%s does not change the digest", name)
		}
	}
}

// TestSpecOfImage: what the image says counts, and the service's word over it.
func TestSpecOfImage(t *testing.T) {
	image := ocispec.ImageConfig{Env: []string{"A=1", "B=2"}, WorkingDir: "/w", Cmd: []string{"x"}}
	path := "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for name, test := range map[string]struct {
		service compose.Service
		image   ocispec.ImageConfig
		cwd     string
		env     []string
	}{
		"nothing":     {compose.Service{Command: []string{"y"}}, ocispec.ImageConfig{}, "/", []string{path, "KETCH_VERSION=1"}},
		"the image's": {compose.Service{}, image, "/w", []string{path, "A=1", "B=2", "KETCH_VERSION=1"}},
		"both":        {compose.Service{WorkingDir: "/v", Environment: []string{"B=3", "PATH=/x"}}, image, "/v", []string{"PATH=/x", "A=1", "B=3", "KETCH_VERSION=1"}},
	} {
		spec := &oci.Spec{Linux: new(specs.Linux), Process: new(specs.Process)}
		for _, option := range specOptions(test.service, 0, test.image, "1", bound.Bounds{})[1:] { // all but the user
			if err := option(t.Context(), nil, &containers.Container{ID: "a"}, spec); err != nil {
				t.Fatal(err)
			}
		}
		if spec.Process.Cwd != test.cwd || !slices.Equal(spec.Process.Env, test.env) {
			t.Errorf("%s: directory %s, environment %q; want %s, %q", name, spec.Process.Cwd, spec.Process.Env, test.cwd, test.env)
		}
	}
}
