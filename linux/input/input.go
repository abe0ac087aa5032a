// Package input reads power buttons (Documentation/input/input.rst). ACPI and
// hypervisors show theirs as an input device with a power key.
package input

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// From include/uapi/linux/input-event-codes.h.
const (
	typeKey  = 1   // EV_KEY
	keyPower = 116 // KEY_POWER
)

// event is struct input_event on a 64-bit machine.
type event struct {
	Sec, Usec int64  // 0
	Type      uint16 // 16
	Code      uint16 // 18
	Value     int32  // 20: 1 pressed, 0 released, 2 repeated
}

const eventSize = 24

// PowerButtons returns the device nodes that have a power key.
func PowerButtons() ([]string, error) { return powerButtons(os.DirFS("/sys")) }

func powerButtons(sys fs.FS) ([]string, error) {
	files, err := fs.Glob(sys, "class/input/event*/device/capabilities/key")
	if err != nil {
		return nil, fmt.Errorf("list input devices: %w", err)
	}
	var nodes []string
	for _, file := range files {
		bits, err := fs.ReadFile(sys, file)
		if err == nil && hasKey(string(bits), keyPower) {
			nodes = append(nodes, "/dev/input/"+strings.Split(file, "/")[2])
		}
	}
	return nodes, nil
}

// hasKey reads a bitmap as sysfs prints it: 64-bit words in hexadecimal, the
// most significant one first.
func hasKey(bitmap string, key int) bool {
	words := strings.Fields(bitmap)
	at := len(words) - 1 - key/64
	if at < 0 {
		return false
	}
	word, err := strconv.ParseUint(words[at], 16, 64)
	return err == nil && word>>(key%64)&1 == 1
}

// WaitPower returns nil when the power key of an open device is pressed.
func WaitPower(r io.Reader) error {
	buf := make([]byte, 64*eventSize) // the kernel gives whole events only
	for {
		n, err := r.Read(buf)
		if err != nil {
			return fmt.Errorf("read input device: %w", err)
		}
		for in := bytes.NewReader(buf[:n]); ; {
			var e event
			if binary.Read(in, binary.NativeEndian, &e) != nil {
				break
			}
			if e.Type == typeKey && e.Code == keyPower && e.Value == 1 {
				return nil
			}
		}
	}
}

// Open opens a device for WaitPower; closing it ends a waiting read.
func Open(node string) (*os.File, error) {
	fd, err := unix.Open(node, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: node, Err: err}
	}
	return os.NewFile(uintptr(fd), node), nil
}
