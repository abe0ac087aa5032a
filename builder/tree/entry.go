package tree

import (
	"errors"
	"fmt"
	"math"

	"github.com/ketch-os/ketch/builder/tree/tarfile"
)

// fileTypes are the type bits of stat(2) for the types of tar.
var fileTypes = map[byte]uint32{
	tarfile.TypeRegular: TypeRegular,
	tarfile.TypeSymlink: TypeSymlink,
	tarfile.TypeChar:    TypeChar,
	tarfile.TypeBlock:   TypeBlock,
	tarfile.TypeDir:     TypeDir,
	tarfile.TypeFIFO:    TypeFIFO,
}

// Limits of what Linux file systems hold (xattr(7), limits.h, makedev(3)).
const (
	maxXattrs = 64 << 10 // names and values of a file together, in bytes
	maxMajor  = 1<<12 - 1
	maxMinor  = 1<<20 - 1
	// maxFileSize bounds the size of a sparse file, which its layer does not.
	maxFileSize = 1 << 40
)

// check refuses attributes that no Linux file can have, and those that mean
// something to overlayfs: they would turn into whiteouts on the running system.
func (e entry) check() error {
	switch {
	case e.UID < 0 || e.UID >= math.MaxUint32, e.GID < 0 || e.GID >= math.MaxUint32:
		return fmt.Errorf("owner %d:%d is out of range", e.UID, e.GID)
	case e.Size > maxFileSize:
		return fmt.Errorf("size %d is over the limit of %d bytes", e.Size, int64(maxFileSize))
	case e.Type == tarfile.TypeSymlink && (e.Link == "" || len(e.Link) > maxPath):
		return fmt.Errorf("symbolic link with a target of %d bytes", len(e.Link))
	case e.Major < 0 || e.Major > maxMajor, e.Minor < 0 || e.Minor > maxMinor:
		return fmt.Errorf("device number %d:%d is out of range", e.Major, e.Minor)
	case e.Type == tarfile.TypeChar && e.Major == 0 && e.Minor == 0:
		return errors.New("character device 0:0 is a whiteout of overlayfs")
	}
	return e.checkXattrs()
}

func (e entry) xattrs() map[string][]byte {
	if len(e.Xattrs) == 0 {
		return nil
	}
	xattrs := make(map[string][]byte, len(e.Xattrs))
	for name, value := range e.Xattrs {
		xattrs[name] = []byte(value)
	}
	return xattrs
}
