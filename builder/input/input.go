// Package input opens what a command reads: files that a person has named. A
// directory, a FIFO, which an open would wait at, or a device without blocks is told
// apart from a damaged file.
package input

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/atomicfile"
)

// NotDiskError is the error of a name that stands for no file and no block device.
type NotDiskError struct {
	Path string
	Mode fs.FileMode // its type
}

func (e *NotDiskError) Error() string {
	return fmt.Sprintf("open %s: it is a %s, not a file", e.Path, atomicfile.Kind(e.Mode))
}

// Explain adds what is wanted to the error of an input that is missing or something
// else. That one may not read it, or a hint that knows better, says enough.
func Explain(err error, want string) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return hint.Else(err, "%s", want)
}

// Image is what is wanted in place of an image.
const Image = "an image is a disk that ketch build wrote, or a machine's own"

// Open opens a file or a block device for reading, anywhere in it.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		if at, ok := err.(*fs.PathError); ok {
			at.Op = "open" // that it was looked at before is our affair
		}
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() && mode.Type() != fs.ModeDevice {
		return nil, &NotDiskError{path, mode.Type()}
	}
	return os.Open(path)
}
