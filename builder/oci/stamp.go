package oci

import (
	"fmt"
	"path/filepath"

	"github.com/ketch-os/ketch/builder/cache"
)

// stamp is what tells a range of a file from all others and from itself after a
// change: its name and place, and the file's stamp.
func (s section) stamp() (text string, of cache.Stamp, err error) {
	path, err := filepath.Abs(s.path)
	if err != nil {
		return "", of, err
	}
	of, err = cache.StampOf(path)
	return fmt.Sprintf("%q %d+%d %s\n", path, s.offset, s.size, of), of, err
}
