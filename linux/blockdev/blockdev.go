// Package blockdev finds block devices in sysfs and drives them through the
// ioctls of include/uapi/linux/fs.h and blkpg.h.
package blockdev

import (
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysSector is the unit of sizes in sysfs, whatever the device's sectors are.
const sysSector = 512

// Disk is a whole disk as sysfs shows it.
type Disk struct {
	Name string // "vda"; its node is Path
	Size int64  // in bytes
	// Partitions maps partition numbers to names: 3 → "vda3".
	Partitions map[int]string
}

// Path returns the device node of a disk or partition.
func Path(name string) string {
	// sysfs writes the slash of a name as an exclamation mark: cciss!c0d0.
	return "/dev/" + strings.ReplaceAll(name, "!", "/")
}

// Disks returns the disks that have a medium, sorted by name.
func Disks() ([]Disk, error) { return disks(os.DirFS("/sys")) }

// disks is Disks for any sysfs.
func disks(sys fs.FS) ([]Disk, error) {
	entries, err := fs.ReadDir(sys, "block")
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	var found []Disk
	for _, entry := range entries {
		if isVirtual(entry.Name()) {
			continue
		}
		disk := Disk{Name: entry.Name(), Size: number(sys, "block/"+entry.Name()+"/size") * sysSector}
		if disk.Size > 0 {
			disk.Partitions = partitions(sys, disk.Name)
			found = append(found, disk)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	return found, nil
}

// isVirtual tells the names of devices that live on others or in memory, and of
// drives that are slow to tell that they are empty.
func isVirtual(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd", "mtdblock"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// partitions finds the directories with a "partition" file below a disk.
func partitions(sys fs.FS, disk string) map[int]string {
	found := map[int]string{}
	entries, _ := fs.ReadDir(sys, "block/"+disk) // a disk that has just gone has none
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), disk) {
			continue
		}
		if n := number(sys, "block/"+disk+"/"+entry.Name()+"/partition"); n > 0 {
			found[int(n)] = entry.Name()
		}
	}
	return found
}

// number reads a sysfs attribute; one that is missing counts as 0.
func number(sys fs.FS, path string) int64 {
	text, err := fs.ReadFile(sys, path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// SectorSize returns the logical sector size of an open block device.
func SectorSize(f *os.File) (int64, error) {
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return 0, fmt.Errorf("ioctl(BLKSSZGET) of %s: %w", f.Name(), err)
	}
	return int64(n), nil
}

// opResizePartition is the operation of BLKPG for that.
const opResizePartition = 3

// blkpgPartition is struct blkpg_partition.
type blkpgPartition struct {
	Start  int64    // 0: in bytes
	Length int64    // 8: in bytes
	Number int32    // 16
	_      [64]byte // 20: devname, unused
	_      [64]byte // 84: volname, unused
	_      [4]byte  // 148
}

// blkpgArg is struct blkpg_ioctl_arg.
type blkpgArg struct {
	Op      int32
	Flags   int32
	DataLen int32
	_       int32
	Data    unsafe.Pointer
}

// ResizePartition tells the kernel that a partition, which may be in use, has
// another length, in bytes.
func ResizePartition(disk *os.File, number int, start, length int64) error {
	part := blkpgPartition{Start: start, Length: length, Number: int32(number)}
	arg := blkpgArg{Op: opResizePartition, DataLen: int32(unsafe.Sizeof(part)), Data: unsafe.Pointer(&part)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return fmt.Errorf("ioctl(BLKPG_RESIZE_PARTITION) of partition %d of %s: %w", number, disk.Name(), errno)
	}
	return nil
}
