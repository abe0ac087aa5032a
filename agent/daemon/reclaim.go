package daemon

import (
	"context"
	"fmt"
	"strings"

	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/layout"
)

// scarce is what must be free of the disk before workloads start: what can be had
// again is dropped below that. exhausted is what must be free for a workload that
// fails to be to blame itself.
var (
	scarce    = bound.Room{Percent: 5, Bytes: 256 << 20, Inodes: 16 << 10}
	exhausted = bound.Room{Percent: 1, Bytes: 32 << 20, Inodes: 2 << 10}
)

// reclaim makes room before workloads start: what is in the way of a start for ever,
// and, while the disk is nearly full, what can be had again, that which is missed
// least first.
func (n *Node) reclaim(ctx context.Context) error {
	dropped, err := n.runtime.DropFullLayers(ctx)
	if len(dropped) > 0 {
		n.say("dropped the writable layers of " + strings.Join(dropped, ", ") + ": they were full")
	}
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"what containerd does not need", n.images.Collect},
		{"the containers of services that are gone", func(ctx context.Context) error { return n.runtime.Prune(ctx, n.named()) }},
		{"the images of other versions", func(ctx context.Context) error { return n.images.Drop(ctx, layout.ImagesDir) }},
		{"the older part of the logs", n.trimLogs},
	} {
		if n.disk.Has(scarce) {
			return nil
		}
		n.say(fmt.Sprintf("%s is nearly full: dropping %s", statePath, step.what))
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("drop %s: %w", step.what, err)
		}
		if err := n.images.Collect(ctx); err != nil {
			return err
		}
	}
	return n.dropLayers(ctx)
}

// dropLayers drops writable layers, the largest first, while the disk is nearly full.
func (n *Node) dropLayers(ctx context.Context) error {
	for !n.disk.Has(scarce) {
		name, err := n.runtime.DropLargestLayer(ctx)
		if name == "" || err != nil {
			return err
		}
		n.say(fmt.Sprintf("%s is nearly full: dropped the writable layer of %s", statePath, name))
		if err := n.images.Collect(ctx); err != nil {
			return err
		}
	}
	return nil
}

// keptLogs is the part of what logs may take that is left of them on a full disk.
const keptLogs = 8

func (n *Node) trimLogs(context.Context) error {
	total, err := n.workloads.Logs.Total()
	if err == nil {
		_, err = n.workloads.Logs.TrimAll(total / keptLogs)
	}
	return err
}

// named are the workloads that there are, by name.
func (n *Node) named() map[string]bool {
	names := map[string]bool{}
	for _, name := range n.workloadNames() {
		names[name] = true
	}
	return names
}
