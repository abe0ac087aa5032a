package bound

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/cgroup"
)

const (
	// ioWeight is the part of the disk's time that workloads get while others want it
	// too: those have 100 each, the kernel's default. What nobody wants is theirs.
	ioWeight = "default 10"
	// ioQuality is when the kernel takes the disk for busy: when more than one of
	// twenty reads, or writes, takes longer than 50 ms. It then gives out less, down to
	// a hundredth of what its model of the disk says (cgroup-v2.rst, io.cost.qos).
	ioQuality = "enable=1 rpct=95.00 rlat=50000 wpct=95.00 wlat=50000 min=1.00 max=10000.00"
)

// ShareDisk has the kernel weigh who uses the disk that path is on, and gives the
// group of all workloads, below root, the lowest weight.
func ShareDisk(root, group, path string) error {
	disk, err := diskOf(path)
	if err != nil {
		return fmt.Errorf("find the disk of %s: %w", path, err)
	}
	if disk == "" {
		return nil
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(group, "/"), "/")
	return errors.Join(
		cgroup.Group(root).Set("io.cost.qos", disk+" "+ioQuality),
		cgroup.Group(filepath.Join(root, top)).Set("io.weight", ioWeight))
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
