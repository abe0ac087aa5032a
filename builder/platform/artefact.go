package platform

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/qcow2"
	"github.com/ketch-os/ketch/disk/vhd"
)

// Artefact is a file as a platform gets it, opened down to the disk in it.
type Artefact struct {
	Path  string
	Certs []*x509.Certificate // whose signatures count

	// Format tells what the disk is wrapped in, from the inside out: "raw",
	// "qcow2", "vhd.tar.gz".
	Format string
	Disk   io.ReaderAt
	Size   int64 // of the disk, in bytes

	// What was met on the way to the disk; nil for what was not there.
	tar   *archive
	qcow2 *qcow2.Reader
	vhd   *vhd.Reader

	table    *gpt.Table
	tableErr error // why there is no table
	image    *image.Disk
	imageErr error // why there is no image
	broken   error // why there is no disk
	closers  []func() error
}

// wrapping is something that a disk may be wrapped in.
type wrapping struct {
	name string
	is   func(io.ReaderAt, int64) bool
	open func(*Artefact) error // makes what is inside the artefact's Disk and Size
	disk bool                  // what is inside is the disk, whatever it looks like
}

func wrappings() []wrapping {
	return []wrapping{
		{"gz", startsWith("\x1f\x8b\x08"), (*Artefact).gunzip, false},
		{"zst", startsWith("\x28\xb5\x2f\xfd"), (*Artefact).unzstd, false},
		{"tar", isTar, (*Artefact).untar, false},
		{"qcow2", startsWith("QFI\xfb"), (*Artefact).openQCOW2, true},
		{"vmdk", startsWith("KDMV"), (*Artefact).openVMDK, true},
		{"vhd", endsWithVHD, (*Artefact).openVHD, true},
	}
}

// rawDisk is what is wrapped in nothing that is known.
func rawDisk() wrapping {
	return wrapping{"raw", nil, func(*Artefact) error { return nil }, true}
}

// maxWrappings bounds how deep a disk may be wrapped.
const maxWrappings = 4

// errNoTable stands for the error of the table in all rules but the one about it.
var errNoTable = errors.New("cannot be checked without a partition table")

// Open opens a file. What is compressed as a whole is unpacked into a sparse
// temporary file, so that memory stays small; Close removes it. A file in which
// something is broken opens: Check tells.
func Open(path string) (*Artefact, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	a := &Artefact{Path: path, Disk: f, closers: []func() error{f.Close}}
	if a.Size, err = f.Seek(0, io.SeekEnd); err != nil { // of a block device, too
		return nil, errors.Join(err, a.Close())
	}
	if a.broken = a.unwrap(); a.broken != nil {
		return a, nil
	}
	a.imageErr = errNoTable
	if a.table, a.tableErr = gpt.Read(a.Disk, a.Size); a.tableErr == nil {
		a.image, a.imageErr = image.Read(a.Disk, a.Size)
	}
	return a, nil
}

// unwrap goes through the wrappings, from the outside in.
func (a *Artefact) unwrap() error {
	var names []string
	for range maxWrappings {
		w := a.wrapping()
		if err := w.open(a); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		names = append(names, w.name)
		if w.disk {
			slices.Reverse(names)
			a.Format = strings.Join(names, ".")
			return nil
		}
	}
	return fmt.Errorf("no disk %d wrappings deep: %s", maxWrappings, strings.Join(names, ", "))
}

func (a *Artefact) wrapping() wrapping {
	for _, w := range wrappings() {
		if w.is(a.Disk, a.Size) {
			return w
		}
	}
	return rawDisk()
}

// startsWith tells a format by its first bytes.
func startsWith(magic string) func(io.ReaderAt, int64) bool {
	return func(r io.ReaderAt, size int64) bool {
		got := make([]byte, len(magic))
		n, _ := r.ReadAt(got, 0)
		return n == len(got) && bytes.Equal(got, []byte(magic))
	}
}

// Close closes the file and removes what was unpacked.
func (a *Artefact) Close() error {
	var errs []error
	for _, c := range a.closers {
		errs = append(errs, c())
	}
	a.closers = nil
	return errors.Join(errs...)
}
