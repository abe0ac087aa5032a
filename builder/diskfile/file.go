// Package diskfile opens a disk that lies in a file: raw, in a format of virtual
// machines (qcow2, VMDK, VHD), in a tar archive, compressed, or several of these
// around each other, as clouds take it.
package diskfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/input"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/disk/qcow2"
	"github.com/ketch-os/ketch/disk/vhd"
)

// File is a file, opened down to the disk in it.
type File struct {
	Path string

	// Format tells what the disk is wrapped in, from the inside out: "raw",
	// "qcow2", "vhd.tar.gz".
	Format string
	Disk   io.ReaderAt
	Size   int64 // of the disk, in bytes
	Broken error // why there is no disk

	// What was met on the way to the disk; nil for what was not there.
	Tar   *Archive
	QCOW2 *qcow2.Reader
	VHD   *vhd.Reader

	most    int64 // see Open
	closers []func() error
}

// wrapping is something that a disk may be wrapped in.
type wrapping struct {
	name string
	is   func(io.ReaderAt, int64) bool
	open func(*File) error // makes what is inside the artefact's Disk and Size
	disk bool              // what is inside is the disk, whatever it looks like
}

func wrappings() []wrapping {
	return []wrapping{
		{"gz", startsWith("\x1f\x8b\x08"), (*File).gunzip, false},
		{"zst", startsWith("\x28\xb5\x2f\xfd"), (*File).unzstd, false},
		{"tar", isTar, (*File).untar, false},
		{"qcow2", startsWith("QFI\xfb"), (*File).openQCOW2, true},
		{"vmdk", startsWith("KDMV"), (*File).openVMDK, true},
		{"vhd", endsWithVHD, (*File).openVHD, true},
	}
}

// rawDisk is what is wrapped in nothing that is known.
func rawDisk() wrapping {
	return wrapping{"raw", nil, func(*File) error { return nil }, true}
}

// maxWrappings bounds how deep a disk may be wrapped.
const maxWrappings = 4

// Open opens a file. What is compressed as a whole is unpacked into a sparse
// temporary file, so that memory stays small; Close removes it. That file becomes
// no larger than most, in bytes, its holes included. A file in which something is
// broken opens: Broken tells.
func Open(path string, most int64) (*File, error) {
	f, err := input.Open(path)
	if err != nil {
		return nil, err
	}
	d := &File{Path: path, Disk: f, most: most, closers: []func() error{f.Close}}
	if d.Size, err = f.Seek(0, io.SeekEnd); err != nil { // of a block device, too
		return nil, errors.Join(err, d.Close())
	}
	d.Broken = d.unwrap()
	return d, nil
}

// Raw opens the disk in a file as a raw one: a raw disk as it is, any other in a
// sparse temporary file without a name, which goes when it is closed. What is
// unpacked becomes no larger than most, in bytes.
func Raw(path string, most int64) (*os.File, error) {
	d, err := Open(path, most)
	if err != nil {
		return nil, err
	}
	if d.Broken != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, d.Broken), d.Close())
	}
	raw, ok := d.Disk.(*os.File)
	if !ok {
		err := limit.Check(d.Size, most, "unpack") // before it is read: holes take time, too
		if err == nil {
			err = d.unpack(io.NewSectionReader(d.Disk, 0, d.Size))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %s: %w", path, d.Format, err), d.Close())
		}
		raw = d.Disk.(*os.File)
	}
	// The disk is the file that was opened last; those around it are done with.
	d.closers = d.closers[:len(d.closers)-1]
	_, err = raw.Seek(0, io.SeekStart)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return raw, nil
}

// unwrap goes through the wrappings, from the outside in.
func (d *File) unwrap() error {
	var names []string
	for range maxWrappings {
		w := d.wrapping()
		if err := w.open(d); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		names = append(names, w.name)
		if w.disk {
			slices.Reverse(names)
			d.Format = strings.Join(names, ".")
			return nil
		}
	}
	return fmt.Errorf("no disk %d wrappings deep: %s", maxWrappings, strings.Join(names, ", "))
}

func (d *File) wrapping() wrapping {
	for _, w := range wrappings() {
		if w.is(d.Disk, d.Size) {
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
func (d *File) Close() error {
	var errs []error
	for _, c := range d.closers {
		errs = append(errs, c())
	}
	d.closers = nil
	return errors.Join(errs...)
}
