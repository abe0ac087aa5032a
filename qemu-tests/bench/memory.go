package main

import (
	"context"
	"fmt"

	"github.com/ketch-os/ketch/agent/memory"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// vmMemory is the size of the machine that memory is measured on, in MiB.
const vmMemory = 512

// settle is how long the machine is left alone before the table is made: the
// agent gives memory back that only the start needed.
const settle = 20

// memoryFigures measures what is in use at runtime-ready, and, once the machine is idle,
// where memory goes.
func memoryFigures(ctx context.Context, path string) ([]Figure, error) {
	used, err := measureMemory(ctx, path, qemu.Options{})
	if err != nil {
		return nil, err
	}
	figures := []Figure{{"memory in use at runtime-ready", used.ready(), "MiB", "≤ 57 in the end", "512 MiB − MemAvailable"}}
	return append(figures, table(&used.Table)...), nil
}

// usedMemory is what a machine tells of its memory.
type usedMemory struct {
	Boot  pid1.Boot
	Table memory.Table
}

// ready is what was in use at runtime-ready, in MiB, idle what is in use now.
func (u *usedMemory) ready() float64 { return vmMemory - mib(u.Boot.Memory.AvailableKiB) }
func (u *usedMemory) idle() float64  { return vmMemory - mib(u.Table.AvailableKiB) }

// measureMemory boots a machine, and asks it once it is idle.
func measureMemory(ctx context.Context, path string, o qemu.Options) (*usedMemory, error) {
	o.Memory = vmMemory
	used, err := ask[usedMemory](ctx, path, o, fmt.Sprintf(
		`sleep %d; echo '{"boot":'; cat %s; echo ',"table":'; ketchctl memory --json; echo '}'`, settle, layout.BootTimeline))
	if err == nil && used.Boot.Memory == nil {
		err = fmt.Errorf("%s tells nothing of memory", layout.BootTimeline)
	}
	return used, err
}

// table is where memory goes on the idle machine, its debug layer and demo included.
func table(t *memory.Table) []Figure {
	figures := []Figure{
		{"memory in use, idle", vmMemory - mib(t.AvailableKiB), "MiB", "", "the demo runs; the rows below add up to it"},
		{"  firmware", vmMemory - mib(t.GivenKiB), "MiB", "", "what it keeps for itself"},
	}
	for _, row := range t.Rows {
		figures = append(figures, Figure{"  " + row.Name, mib(row.KiB), "MiB", "", row.Note})
	}
	for _, p := range t.Processes {
		figures = append(figures, Figure{"    " + p.Name, mib(p.AnonKiB), "MiB", "", "its anonymous memory"})
	}
	return figures
}

func mib(kib int64) float64 { return float64(kib) / 1024 }
