package workload

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/internal/compose"
)

func TestFreeIDs(t *testing.T) {
	all := map[ids]bool{}
	for m := ids(firstIDs); m < endIDs; m += idCount {
		all[m] = true
	}
	for _, test := range []struct {
		name  string
		taken map[ids]bool
		want  ids
	}{
		{"none is taken", nil, firstIDs},
		{"one is", map[ids]bool{firstIDs: true}, firstIDs + idCount},
		{"one between is free", map[ids]bool{firstIDs: true, firstIDs + 2*idCount: true}, firstIDs + idCount},
		{"the last is", map[ids]bool{endIDs - idCount: true}, firstIDs},
	} {
		if got, err := freeIDs(test.taken); got != test.want || err != nil {
			t.Errorf("%s: freeIDs = %d, %v; want %d", test.name, got, err, test.want)
		}
	}
	if got, err := freeIDs(all); !errors.Is(err, errNoIDs) {
		t.Errorf("all are taken: freeIDs = %d, %v; want %v", got, err, errNoIDs)
	}
}

// TestTakenIDs: what is noted at a container is read again; what cannot have been is
// none.
func TestTakenIDs(t *testing.T) {
	m := ids(firstIDs + 5*idCount)
	all := []containers.Container{{Labels: map[string]string{idsLabel: m.label()}}, {}}
	for _, odd := range []string{"", "0", "x", "-1", "1", "524289", "1879048192", "4295491584"} {
		all = append(all, containers.Container{Labels: map[string]string{idsLabel: odd}})
	}
	if got := takenIDs(all); len(got) != 1 || !got[m] {
		t.Errorf("takenIDs = %v; want %d alone", got, m)
	}
}

// existing are the containers that there are.
type existing []containers.Container

func (e existing) List(context.Context, ...string) ([]containers.Container, error) {
	if e == nil {
		return nil, errNoIDs
	}
	return e, nil
}

// TestReserve: two containers that are made at the same time share no ids, and ids
// whose container came to nothing are given again.
func TestReserve(t *testing.T) {
	var r reserved
	there := existing{{Labels: map[string]string{idsLabel: ids(firstIDs).label()}}}
	for i, step := range []struct {
		release, want ids
	}{
		{0, firstIDs + idCount}, {0, firstIDs + 2*idCount}, {firstIDs + idCount, firstIDs + idCount},
	} {
		r.release(step.release)
		if got, err := r.reserve(t.Context(), there); got != step.want || err != nil {
			t.Errorf("reservation %d = %d, %v; want %d", i, got, err, step.want)
		}
	}
	if _, err := r.reserve(t.Context(), existing(nil)); err == nil {
		t.Error("reserve without a list = nil; want an error")
	}
}

// TestIDsFit: everybody's last id fits into what the kernel lets ping, and no user
// of the host's is among them.
func TestIDsFit(t *testing.T) {
	if firstIDs <= 65535 || endIDs > 1<<31-1 || (endIDs-firstIDs)%idCount != 0 {
		t.Errorf("ids from %d to %d in lots of %d", firstIDs, endIDs, idCount)
	}
}

// TestSpecOfIDs: a container with ids of its own has a user namespace, and the
// host's /sys; one without has neither.
func TestSpecOfIDs(t *testing.T) {
	for _, m := range []ids{0, firstIDs} {
		spec := &oci.Spec{Linux: new(specs.Linux), Process: new(specs.Process), Mounts: []specs.Mount{{Destination: "/sys", Type: "sysfs"}}}
		options := specOptions(compose.Service{Name: "a", Command: []string{"x"}}, m, ocispec.ImageConfig{}, "1", bound.Bounds{})
		for i, option := range options[1:] { // all but the user
			if err := option(t.Context(), nil, &containers.Container{ID: "a"}, spec); err != nil {
				t.Fatalf("option %d: %v", i+1, err)
			}
		}
		user := slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
		if user != m.own() || spec.Mounts[0].Type == "bind" != m.own() || len(spec.Linux.UIDMappings) > 0 != m.own() {
			t.Errorf("ids %d: user namespace %v, mappings %v, /sys %+v", m, user, spec.Linux.UIDMappings, spec.Mounts[0])
		}
	}
}

func FuzzParseIDs(f *testing.F) {
	f.Add("524288")
	f.Fuzz(func(t *testing.T, label string) {
		m := parseIDs(label)
		if m.own() && (m < firstIDs || m >= endIDs || parseIDs(m.label()) != m) {
			t.Errorf("parseIDs(%q) = %d", label, m)
		}
	})
}
