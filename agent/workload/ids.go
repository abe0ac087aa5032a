package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// ids is the first of the host's user and group ids that are a container's, and
// stand for its own from 0 on (user_namespaces(7)). 0 is for a container without a
// user namespace: its ids are the host's.
type ids uint32

// idsLabel holds the ids of a container.
const idsLabel = "org.ketch.ids"

const (
	// idCount is how many ids a container has: those up to nobody's.
	idCount = 1 << 16
	// firstIDs and endIDs bound what containers get: the ids that systemd sets aside
	// for them (systemd, "Users, Groups, UIDs and GIDs on systemd Systems").
	firstIDs = 524288
	endIDs   = 1879048192
)

// errNoIDs is the error of a machine that has given all ids away.
var errNoIDs = errors.New("no user ids are left for one more container")

// own tells whether the container has a user namespace.
func (m ids) own() bool { return m != 0 }

func (m ids) mapping() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(m), Size: idCount}}
}

// label is what is noted of the ids, at the container.
func (m ids) label() string { return strconv.FormatUint(uint64(m), 10) }

// parseIDs reads a label; one that no container of ours has stands for no ids.
func parseIDs(label string) ids {
	n, err := strconv.ParseUint(label, 10, 32)
	if err != nil || n < firstIDs || n >= endIDs || n%idCount != 0 {
		return 0
	}
	return ids(n)
}

// freeIDs chooses the first ids that are not taken. Nothing on the disk is owned by
// them longer than their container lasts: they may be given again.
func freeIDs(taken map[ids]bool) (ids, error) {
	for m := ids(firstIDs); m < endIDs; m += idCount {
		if !taken[m] {
			return m, nil
		}
	}
	return 0, errNoIDs
}

// reserved are the ids of containers that are being made. Those of containers that
// exist are noted at them.
type reserved struct {
	mu   sync.Mutex
	held map[ids]bool
}

// reserve chooses ids that no container has or gets, until they are released: the
// container exists by then, or never will.
func (r *reserved) reserve(ctx context.Context, all interface {
	List(ctx context.Context, filters ...string) ([]containers.Container, error)
}) (ids, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	exist, err := all.List(ctx)
	if err != nil {
		return 0, fmt.Errorf("list containers: %w", err)
	}
	taken := takenIDs(exist)
	maps.Copy(taken, r.held)
	m, err := freeIDs(taken)
	if err != nil {
		return 0, err
	}
	if r.held == nil {
		r.held = map[ids]bool{}
	}
	r.held[m] = true
	return m, nil
}

func (r *reserved) release(m ids) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, m)
}

func takenIDs(all []containers.Container) map[ids]bool {
	taken := map[ids]bool{}
	for _, container := range all {
		if m := parseIDs(container.Labels[idsLabel]); m.own() {
			taken[m] = true
		}
	}
	return taken
}
