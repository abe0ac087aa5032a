// Package sparse walks the data of sparse files: lseek(2), SEEK_DATA and SEEK_HOLE.
package sparse

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Each calls do for every range of f's first size bytes that is not a hole, in
// order. A block device, and a file system that knows no holes, have one range.
func Each(f *os.File, size int64, do func(start, end int64) error) error {
	for at := int64(0); at < size; {
		start, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but a hole up to the end
		}
		if errors.Is(err, unix.EINVAL) && at == 0 {
			return do(0, size) // a block device
		}
		if err != nil {
			return err
		}
		end, err := f.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := do(start, end); err != nil {
			return err
		}
		at = end
	}
	return nil
}
