package system

import (
	"strconv"

	"github.com/ketch-os/ketch/linux/cgroup"
)

const (
	// InitGroup is PID 1's own control group. Nothing else lives there.
	InitGroup = "init"
	// ToolsGroup holds a group for each tool that PID 1 runs.
	ToolsGroup = "tools"
)

const (
	// initMemory is what reclaim leaves to PID 1, in bytes.
	initMemory = 8 << 20
	// toolsPIDs is how many processes all tools may have.
	toolsPIDs = 512
)

// Groups moves PID 1 into a group of its own, so that the root can hand all
// controllers down. warn is told of what a kernel without a controller refuses.
func Groups(warn func(error)) error {
	group, err := cgroup.Make(cgroup.Root, InitGroup)
	if err != nil {
		return err
	}
	if err := group.Set("memory.min", strconv.Itoa(initMemory)); err != nil {
		warn(err)
	}
	if err := group.Add(0); err != nil {
		return err
	}
	tools, err := cgroup.Make(cgroup.Root, ToolsGroup)
	if err != nil {
		return err
	}
	if err := tools.Set("pids.max", strconv.Itoa(toolsPIDs)); err != nil {
		warn(err)
	}
	return nil
}
