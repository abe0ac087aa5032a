package system

import (
	"strconv"

	"ketch/linux/cgroup"
)

// InitGroup is PID 1's own control group.
const InitGroup = "init"

// initMemory is what reclaim leaves to PID 1, in bytes.
const initMemory = 8 << 20

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
	return group.Add(0)
}
