// Package quota bounds what directories may take of a file system: project quotas
// (quotactl_fd(2), ioctl_xfs_fsgetxattr(2); on ext4 with its features project and
// quota, mounted with prjquota). Whatever is made in a directory of a project
// belongs to it, whoever makes it.
//
// A process with CAP_SYS_RESOURCE is not bound (kernel: fs/quota/dquot.c,
// ignore_hardlimit), and overlayfs writes with the rights of whoever mounted it.
package quota

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNone is the error of a file system without project quotas.
var ErrNone = errors.New("the file system has no project quotas")

// Use is what a project has, and what it may have; a limit of 0 is none.
type Use struct {
	Bytes, BytesLimit   int64
	Inodes, InodesLimit int64
}

// block is struct if_dqblk.
type block struct {
	HardBlocks uint64 // 0, in units of 1 KiB
	SoftBlocks uint64 // 8
	Space      uint64 // 16, in bytes
	HardInodes uint64 // 24
	SoftInodes uint64 // 32
	Inodes     uint64 // 40
	BlockTime  uint64 // 48
	InodeTime  uint64 // 56
	Valid      uint32 // 64
	_          uint32
}

// attributes is struct fsxattr.
type attributes struct {
	Flags   uint32 // 0
	_       [2]uint32
	Project uint32 // 12
	_       [3]uint32
}

const (
	unit          = 1 << 10                       // of a limit of blocks
	project       = 2                             // PRJQUOTA
	getQuota      = uint32(0x800007)<<8 | project // QCMD(Q_GETQUOTA, PRJQUOTA)
	setQuota      = uint32(0x800008)<<8 | project // QCMD(Q_SETQUOTA, PRJQUOTA)
	limits        = 1 | 4                         // QIF_BLIMITS | QIF_ILIMITS
	getAttributes = 0x801c581f                    // FS_IOC_FSGETXATTR
	setAttributes = 0x401c5820                    // FS_IOC_FSSETXATTR
	inherit       = 0x200                         // FS_XFLAG_PROJINHERIT
)

// Read tells what a project has of the file system that dir is on.
func Read(dir string, id uint32) (Use, error) {
	var b block
	if err := control(dir, getQuota, id, &b); err != nil {
		return Use{}, fmt.Errorf("read quota of project %d: %w", id, err)
	}
	return Use{int64(b.Space), int64(b.HardBlocks) * unit, int64(b.Inodes), int64(b.HardInodes)}, nil
}

// Limit sets what a project may have: the limits of use. Its other fields are
// ignored.
func Limit(dir string, id uint32, use Use) error {
	b := block{HardBlocks: uint64(use.BytesLimit+unit-1) / unit, HardInodes: uint64(use.InodesLimit), Valid: limits}
	if err := control(dir, setQuota, id, &b); err != nil {
		return fmt.Errorf("set quota of project %d: %w", id, err)
	}
	return nil
}

func control(dir string, command, id uint32, b *block) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, f.Fd(), uintptr(command), uintptr(id), uintptr(unsafe.Pointer(b)), 0, 0)
	switch errno {
	case 0:
		return nil
	case unix.ESRCH, unix.ENOSYS, unix.EOPNOTSUPP: // no quota of this type is on
		return ErrNone
	}
	return os.NewSyscallError("quotactl_fd", errno)
}

// Assign makes a directory, and all that is in it, a project's. The directory
// itself comes last. So one that belongs to the project already needs no further
// look.
func Assign(dir string, id uint32) error {
	if has, err := projectOf(dir); err != nil || has == id {
		return err
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if !entry.IsDir() && !entry.Type().IsRegular() {
			return nil // links and devices have no blocks; what opens one may block
		}
		return assign(path, id)
	})
	if err != nil {
		return err
	}
	return assign(dir, id)
}

// projectOf is the project of a directory; 0 is none.
func projectOf(dir string) (uint32, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var a attributes
	if err := ioctl(f, getAttributes, &a); err != nil {
		return 0, fmt.Errorf("read project of %s: %w", dir, err)
	}
	return a.Project, nil
}

func assign(path string, id uint32) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var a attributes
	if err := ioctl(f, getAttributes, &a); err != nil {
		return fmt.Errorf("read project of %s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	flags := a.Flags
	if info.IsDir() {
		flags |= inherit
	}
	if a.Project == id && a.Flags == flags {
		return nil
	}
	a.Project, a.Flags = id, flags
	if err := ioctl(f, setAttributes, &a); err != nil {
		return fmt.Errorf("set project of %s: %w", path, err)
	}
	return nil
}

func ioctl(f *os.File, request uintptr, a *attributes) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(a)))
	switch errno {
	case 0:
		return nil
	case unix.EOPNOTSUPP, unix.ENOTTY:
		return ErrNone
	}
	return os.NewSyscallError("ioctl", errno)
}
