package platform

import (
	"crypto/x509"
	"errors"

	"github.com/ketch-os/ketch/builder/diskfile"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/disk/gpt"
)

// Artefact is a file as a platform gets it, opened down to the disk in it.
type Artefact struct {
	*diskfile.File
	Certs []*x509.Certificate // whose signatures count

	table    *gpt.Table
	tableErr error // why there is no table
	image    *image.Disk
	imageErr error // why there is no image
}

// errNoTable stands for the error of the table in all rules but the one about it.
var errNoTable = errors.New("cannot be checked without a partition table")

// Open opens a file. A file in which something is broken opens: Check tells. What has
// to be unpacked becomes no larger than most, in bytes.
func Open(path string, most int64) (*Artefact, error) {
	f, err := diskfile.Open(path, most)
	if err != nil {
		return nil, err
	}
	a := &Artefact{File: f}
	if a.Broken != nil {
		return a, nil
	}
	a.imageErr = errNoTable
	if a.table, a.tableErr = gpt.Read(a.Disk, a.Size); a.tableErr == nil {
		a.image, a.imageErr = image.Read(a.Disk, a.Size)
	}
	return a, nil
}
