package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/client"
)

// DropFullLayers removes every container that does not run and whose writable layer
// is at its limits: it would start, and could not write. It returns their names. The
// next start makes each anew.
func (c *Containerd) DropFullLayers(ctx context.Context) (dropped []string, err error) {
	idle, err := c.idle(ctx)
	for _, container := range idle {
		if c.Disk.Full(container.ID()) {
			if err := remove(ctx, container); err != nil {
				return dropped, err
			}
			dropped = append(dropped, container.ID())
		}
	}
	return dropped, err
}

// DropLargestLayer removes the container that does not run and has the largest
// writable layer. It returns its name; empty: there is none.
func (c *Containerd) DropLargestLayer(ctx context.Context) (string, error) {
	idle, err := c.idle(ctx)
	if len(idle) == 0 {
		return "", err
	}
	largest := slices.MaxFunc(idle, func(a, b client.Container) int {
		return cmp.Compare(c.Disk.Bytes(a.ID()), c.Disk.Bytes(b.ID()))
	})
	return largest.ID(), remove(ctx, largest)
}

// idle lists the containers that have no task, their writable layers bounded.
func (c *Containerd) idle(ctx context.Context) (idle []client.Container, err error) {
	all, err := c.Client.Containers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var problems []error
	for _, container := range all {
		running, err := findTask(ctx, container)
		if err == nil && running == nil {
			err = c.boundLayer(ctx, container.ID())
			idle = append(idle, container)
		}
		problems = append(problems, err)
	}
	return idle, errors.Join(problems...)
}
