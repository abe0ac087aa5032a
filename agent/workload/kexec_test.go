package workload

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/internal/compose"
)

// TestNoKexec: a container neither has the capability to load another kernel nor may
// it make the call. kernel.kexec_load_disabled is not set for that: it is for ever,
// and for PID 1 too, which an update by kexec needs (kernel: kernel/kexec_file.c).
func TestNoKexec(t *testing.T) {
	ctx := namespaces.WithNamespace(t.Context(), "test")
	c := &containers.Container{ID: "test"}
	spec, err := oci.GenerateSpec(ctx, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range specOptions(compose.Service{Name: "a", Command: []string{"/x"}}, 0, ocispec.ImageConfig{}, "1", bound.Bounds{})[1:] { // the first reads the image's files
		if err := option(ctx, nil, c, spec); err != nil {
			t.Fatal(err)
		}
	}
	caps := spec.Process.Capabilities
	for _, set := range [][]string{caps.Bounding, caps.Effective, caps.Permitted, caps.Inheritable, caps.Ambient} {
		if slices.Contains(set, "CAP_SYS_BOOT") {
			t.Error("a container has CAP_SYS_BOOT")
		}
	}
	if spec.Linux.Seccomp == nil || spec.Linux.Seccomp.DefaultAction != specs.ActErrno {
		t.Fatalf("seccomp: %+v; want a profile that refuses what it does not name", spec.Linux.Seccomp)
	}
	for _, rule := range spec.Linux.Seccomp.Syscalls {
		for _, name := range rule.Names {
			if strings.HasPrefix(name, "kexec_") && rule.Action == specs.ActAllow {
				t.Errorf("a container may call %s", name)
			}
		}
	}
}
