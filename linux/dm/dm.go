// Package dm drives device-mapper through /dev/mapper/control: the ioctls of
// include/uapi/linux/dm-ioctl.h that create, load, resume, query and remove one
// device with one target. Left out: events, renaming, messages, multi-target
// tables, and everything libdevmapper does for udev.
package dm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is the door to the driver; devtmpfs makes it when the driver starts.
const control = "/dev/mapper/control"

// Target is one line of a device-mapper table.
type Target struct {
	Start, Length uint64 // in sectors of 512 bytes
	Type          string // at most 15 bytes: "verity"
	Params        string
}

// The commands, and with them the numbers of their ioctls.
const (
	cmdDevCreate   = 3
	cmdDevRemove   = 4
	cmdDevSuspend  = 6
	cmdTableLoad   = 9
	cmdTableStatus = 12
)

// The flags of header.Flags in use here.
const (
	flagReadOnly = 1 << 0 // DM_READONLY_FLAG
)

// header is struct dm_ioctl.
type header struct {
	Version     [3]uint32 // 0: interface version of the caller
	DataSize    uint32    // 12: of the whole buffer, this header included
	DataStart   uint32    // 16: where the targets start
	TargetCount uint32    // 20
	OpenCount   int32     // 24
	Flags       uint32    // 28
	EventNr     uint32    // 32
	_           uint32    // 36
	Dev         uint64    // 40: device number, as in stat(2)
	Name        [128]byte // 48
	UUID        [129]byte // 176
	_           [7]byte   // 305
}

// targetSpec is struct dm_target_spec; the parameters follow, NUL-terminated.
type targetSpec struct {
	Start  uint64   // 0: in sectors
	Length uint64   // 8: in sectors
	Status int32    // 16
	Next   uint32   // 20: offset of the next target, from this one (load) or from the first (status)
	Type   [16]byte // 24
}

const (
	headerSize = 312
	specSize   = 40
	// bufferSize has room for the longest status asked for here.
	bufferSize = 16 << 10
)

// Create makes a device without a table and returns its number.
func Create(name, uuid string) (dev uint64, err error) {
	h, _, err := call(cmdDevCreate, header{}, name, uuid, nil)
	if err != nil {
		return 0, fmt.Errorf("create device-mapper device %s: %w", name, err)
	}
	return h.Dev, nil
}

// Load gives the device a read-only table of one target, to take effect on Resume.
func Load(name string, target Target) error {
	payload, err := target.encode()
	if err == nil {
		_, _, err = call(cmdTableLoad, header{Flags: flagReadOnly, TargetCount: 1}, name, "", payload)
	}
	if err != nil {
		return fmt.Errorf("load %s table into %s: %w", target.Type, name, err)
	}
	return nil
}

// Resume makes the loaded table live.
func Resume(name string) error {
	if _, _, err := call(cmdDevSuspend, header{}, name, "", nil); err != nil {
		return fmt.Errorf("resume device-mapper device %s: %w", name, err)
	}
	return nil
}

// Status returns the live table with each target's status in Params. For verity
// that is "V" while every block read was valid and "C" once one was corrupt.
func Status(name string) ([]Target, error) {
	h, payload, err := call(cmdTableStatus, header{}, name, "", nil)
	if err == nil {
		var targets []Target
		if targets, err = decodeTargets(payload, int(h.TargetCount)); err == nil {
			return targets, nil
		}
	}
	return nil, fmt.Errorf("read status of device-mapper device %s: %w", name, err)
}

// Remove removes a device that nobody has open.
func Remove(name string) error {
	if _, _, err := call(cmdDevRemove, header{}, name, "", nil); err != nil {
		return fmt.Errorf("remove device-mapper device %s: %w", name, err)
	}
	return nil
}

// Node returns the path of the block device with number dev, and makes the node
// where devtmpfs has not, and the link that people know it by.
func Node(name string, dev uint64) (string, error) {
	base := fmt.Sprintf("dm-%d", unix.Minor(dev))
	path := "/dev/" + base
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil || stat.Rdev != dev {
		os.Remove(path)
		if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(dev)); err != nil {
			return "", fmt.Errorf("make %s: %w", path, err)
		}
	}
	link := filepath.Join(filepath.Dir(control), name)
	if err := os.Symlink("../"+base, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("link device-mapper device: %w", err)
	}
	return path, nil
}

// call sends one command and returns the kernel's header and payload.
func call(cmd uintptr, h header, name, uuid string, payload []byte) (header, []byte, error) {
	buf, err := encode(h, name, uuid, payload)
	if err != nil {
		return header{}, nil, err
	}
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		return header{}, nil, err
	}
	defer f.Close()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlNumber(cmd), uintptr(unsafe.Pointer(&buf[0])))
	if errno != 0 {
		return header{}, nil, fmt.Errorf("ioctl(%s): %w", cmdName(cmd), errno)
	}
	return decode(buf)
}

// cmdName is for errors only.
func cmdName(cmd uintptr) string {
	switch cmd {
	case cmdDevCreate:
		return "DM_DEV_CREATE"
	case cmdDevRemove:
		return "DM_DEV_REMOVE"
	case cmdDevSuspend:
		return "DM_DEV_SUSPEND"
	case cmdTableLoad:
		return "DM_TABLE_LOAD"
	default:
		return "DM_TABLE_STATUS"
	}
}

// ioctlNumber is _IOWR(DM_IOCTL, cmd, struct dm_ioctl).
func ioctlNumber(cmd uintptr) uintptr { return 3<<30 | headerSize<<16 | 0xfd<<8 | cmd }

// encode lays out the buffer of one ioctl. Interface version 4.0.0 is the
// oldest that knows all of the commands above; the kernel takes any 4.x.
func encode(h header, name, uuid string, payload []byte) ([]byte, error) {
	if len(name) >= len(h.Name) || len(uuid) >= len(h.UUID) || strings.Contains(name, "/") {
		return nil, fmt.Errorf("name %q or UUID %q does not suit device-mapper", name, uuid)
	}
	h.Version = [3]uint32{4, 0, 0}
	h.DataStart = headerSize
	h.DataSize = uint32(max(headerSize+len(payload), bufferSize))
	copy(h.Name[:], name)
	copy(h.UUID[:], uuid)
	buf := bytes.NewBuffer(make([]byte, 0, h.DataSize))
	binary.Write(buf, binary.NativeEndian, h)
	buf.Write(payload)
	return buf.Bytes()[:h.DataSize], nil
}

// decode is the inverse of encode. An answer without targets ends with the
// header, whose size the kernel counts without the padding.
func decode(buf []byte) (h header, payload []byte, err error) {
	if err := binary.Read(bytes.NewReader(buf), binary.NativeEndian, &h); err != nil {
		return h, nil, err
	}
	if int64(h.DataSize) > int64(len(buf)) {
		return h, nil, errors.New("the kernel's answer does not fit its buffer")
	}
	if h.DataSize <= h.DataStart {
		return h, nil, nil
	}
	return h, buf[h.DataStart:h.DataSize], nil
}

// encode lays out one target and its parameters, padded to eight bytes.
func (t Target) encode() ([]byte, error) {
	spec := targetSpec{Start: t.Start, Length: t.Length}
	if len(t.Type) >= len(spec.Type) {
		return nil, fmt.Errorf("target type %q is too long", t.Type)
	}
	copy(spec.Type[:], t.Type)
	size := (specSize + len(t.Params) + 1 + 7) &^ 7
	spec.Next = uint32(size)
	buf := bytes.NewBuffer(make([]byte, 0, size))
	binary.Write(buf, binary.NativeEndian, spec)
	buf.WriteString(t.Params)
	return buf.Bytes()[:size], nil
}

// decodeTargets reads the targets of a status answer.
func decodeTargets(payload []byte, count int) ([]Target, error) {
	var targets []Target
	at := 0
	for range count {
		var spec targetSpec
		if at > len(payload) {
			return nil, errors.New("target lies outside the answer")
		}
		if err := binary.Read(bytes.NewReader(payload[at:]), binary.NativeEndian, &spec); err != nil {
			return nil, fmt.Errorf("target lies outside the answer: %w", err)
		}
		params, _, ok := bytes.Cut(payload[at+specSize:], []byte{0})
		if !ok {
			return nil, errors.New("target's parameters have no end")
		}
		kind, _, _ := bytes.Cut(spec.Type[:], []byte{0})
		targets = append(targets, Target{spec.Start, spec.Length, string(kind), string(params)})
		at = int(spec.Next)
	}
	return targets, nil
}
