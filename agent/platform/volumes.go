package platform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/iso9660"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/blockdev"
	"github.com/ketch-os/ketch/linux/mount"
)

// Device is an open block device.
type Device interface {
	io.ReaderAt
	io.Closer
}

// Volumes finds file systems by their labels: ISO 9660, which is read here, and FAT, which
// the kernel reads.
type Volumes struct {
	Sys fs.FS // sysfs
	// Open opens a block device by its name in sysfs.
	Open func(name string) (Device, error)
	// OpenFAT opens the FAT file system on a device.
	OpenFAT func(name string) (fs.FS, error)

	mu     sync.Mutex
	labels map[string]labelled // by label in lower case; nil: nobody has looked yet
}

// labelled is a file system that has a label.
type labelled struct {
	device string
	fat    bool
}

// openDevice opens a device for reading. It does not wait for a medium.
func openDevice(name string) (Device, error) {
	return os.OpenFile(blockdev.Path(name), os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// Find is Host.Volume.
func (v *Volumes) Find(label string) (fs.FS, string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.labels == nil {
		v.look()
	}
	found, ok := v.labels[strings.ToLower(label)]
	if !ok {
		return nil, "", fmt.Errorf("volume %s: %w", label, fs.ErrNotExist)
	}
	volume, err := v.read(found)
	return volume, blockdev.Path(found.device), err
}

// look reads the labels. Of two file systems of one label the first counts.
func (v *Volumes) look() {
	v.labels = make(map[string]labelled)
	for _, name := range v.devices() {
		label, fat := v.label(name)
		if _, there := v.labels[label]; label != "" && !there {
			v.labels[label] = labelled{name, fat}
		}
	}
}

// devices lists block devices that may hold a volume: those with a size, but for what
// lives in memory or on other devices.
func (v *Volumes) devices() (names []string) {
	entries, _ := fs.ReadDir(v.Sys, "class/block")
	for _, entry := range entries {
		name := entry.Name()
		virtual := slices.ContainsFunc([]string{"loop", "ram", "zram", "dm-", "md", "nbd", "fd", "mtdblock"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if !virtual && v.size(name) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// size is that of a device in bytes; 0 where it cannot be told.
func (v *Volumes) size(name string) int64 {
	text, err := fs.ReadFile(v.Sys, "class/block/"+name+"/size")
	if err != nil {
		return 0
	}
	sectors, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 40)
	return sectors * 512
}

// label is the label of what is on a device, in lower case; "" where there is none.
func (v *Volumes) label(name string) (label string, fat bool) {
	device, err := v.Open(name)
	if err != nil {
		return "", false // a drive without a medium, as a rule
	}
	defer device.Close()
	if label, err := iso9660.Label(device); err == nil {
		return strings.ToLower(label), false
	}
	sector := make([]byte, 512)
	if _, err := device.ReadAt(sector, 0); err != nil {
		return "", false
	}
	return strings.ToLower(fatLabel(sector)), true
}

// fatLabel is the label in the boot sector of a FAT file system (fatgen103, "Boot Sector
// and BPB"): FAT32 has it elsewhere than FAT12 and FAT16.
func fatLabel(sector []byte) string {
	const (
		at16, at32 = 43, 71 // BS_VolLab
		mark       = 0x29   // BS_BootSig, before the serial number
	)
	if len(sector) < 512 || binary.LittleEndian.Uint16(sector[510:]) != 0xaa55 {
		return ""
	}
	for _, at := range []int{at16, at32} {
		if kind := string(sector[at+11 : at+14]); sector[at-5] == mark && kind == "FAT" {
			return strings.TrimRight(string(sector[at:at+11]), " \x00")
		}
	}
	return ""
}

// maxVolume bounds what is read of a device.
const maxVolume = 64 << 20

func (v *Volumes) read(l labelled) (fs.FS, error) {
	if l.fat {
		return v.OpenFAT(l.device)
	}
	device, err := v.Open(l.device)
	if err != nil {
		return nil, err
	}
	// The device stays open as long as the volume is of use, and that is as long as
	// the process looks at it: once.
	volume, err := iso9660.Open(device, min(v.size(l.device), maxVolume))
	if err != nil {
		return nil, errors.Join(err, device.Close())
	}
	return volume, nil
}

// mountPoint is where a FAT file system is mounted for a moment.
const mountPoint = layout.RunDir + "/volume"

// mountFAT has the kernel read a FAT file system. It is mounted as little as can be, and
// out of sight at once: only who has it open sees it. Nothing on it leads out of it.
func mountFAT(name string) (fs.FS, error) {
	m := mount.Mount{
		Source: blockdev.Path(name), Target: mountPoint, Type: "vfat",
		Flags: mount.ReadOnly | mount.NoSUID | mount.NoDev | mount.NoExec | mount.NoSymFollow,
	}
	if err := m.Do(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(mountPoint)
	if detach := unix.Unmount(mountPoint, unix.MNT_DETACH); detach != nil {
		err = errors.Join(err, os.NewSyscallError("umount2", detach))
	}
	if err != nil {
		return nil, err
	}
	return root.FS(), nil
}
