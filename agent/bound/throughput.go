package bound

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/cgroup"
)

// ioTarget is how long a request of the machine's own may take, in microseconds: when
// more than a tenth of them take longer, the kernel lets workloads have ever fewer
// requests under way, down to one, until it is so again. It is what the kernel expects
// of an SSD (block/blk-iolatency.c, blk-iocost.c).
const ioTarget = 25_000

// ShareDisk has the machine's own requests to the disk that path is on go before those
// of workloads: every group below root but that of all workloads gets a target
// (cgroup-v2.rst, io.latency). A disk that is slow by itself slows workloads, never
// the machine: nothing is held back while all meet their targets, and those that have
// one never are.
func ShareDisk(root, group, path string) error {
	disk, err := diskOf(path)
	if err != nil {
		return fmt.Errorf("find the disk of %s: %w", path, err)
	}
	if disk == "" {
		return nil
	}
	return protect(root, group, disk)
}

func protect(root, group, disk string) error {
	all, err := cgroup.Group(root).Children()
	if err != nil {
		return err
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(group, "/"), "/")
	var faults []error
	for _, other := range all {
		if other.Name() != top {
			faults = append(faults, other.Set("io.latency", fmt.Sprintf("%s target=%d", disk, ioTarget)))
		}
	}
	return errors.Join(faults...)
}

// diskOf is the device number of the whole disk that a path is on; empty where it is
// on none.
func diskOf(path string) (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return "", os.NewSyscallError("stat", err)
	}
	if unix.Major(stat.Dev) == 0 { // in memory
		return "", nil
	}
	return wholeDisk(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)))
}

// wholeDisk is the device number of the disk that a block device is, or is a
// partition of. device is its link in /sys: the disk is the directory that it leads
// into (Documentation/ABI/stable/sysfs-block).
func wholeDisk(device string) (string, error) {
	number := device + "/dev"
	if _, err := os.Stat(device + "/partition"); err == nil {
		number = device + "/../dev"
	}
	text, err := os.ReadFile(number)
	return strings.TrimSpace(string(text)), err
}
