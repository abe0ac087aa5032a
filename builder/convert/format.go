// Package convert writes raw disk images in the formats that clouds take, in this
// process and on all cores.
//
// What is written depends on the bytes of the disk and on the options alone: two
// conversions give the same file.
package convert

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/disk/qcow2"
	"github.com/ketch-os/ketch/disk/raw"
	"github.com/ketch-os/ketch/disk/vhd"
	"github.com/ketch-os/ketch/disk/vmdk"
)

// Format is a file format for disks.
type Format struct {
	Name      string // "qcow2"
	Extension string // of files that want it unasked: ".qcow2"; may be empty
	About     string // who takes it
	write     func(ctx context.Context, w *os.File, disk *raw.Disk, o Options) error
}

// Options are what a file holds besides the disk.
type Options struct {
	// ID of the disk; by default it is derived from the disk's first 64 KiB, where
	// the partition table is, and its size.
	ID [16]byte
	// Time of creation, in seconds; by default the year 2000 begins.
	Time time.Time
}

// Formats lists the formats.
func Formats() []Format {
	return []Format{
		{"raw", ".raw", "the disk itself, sparse", writeRaw},
		{"raw.zst", ".zst", "bare metal: the disk, compressed with zstd", writeZst},
		{"raw.tar.gz", ".tar.gz", "Google Compute Engine: disk.raw in a tar of the old GNU format, sparse", writeRawTar},
		{"qcow2", ".qcow2", "QEMU: compat=1.1, compressed", writeQcow2(qcow2.Version3)},
		{"qcow2-0.10", "", "OpenStack: qcow2 for the oldest readers, compat=0.10, compressed", writeQcow2(qcow2.Version2)},
		{"vhd", ".vhd", "XenServer, Hyper-V: dynamic", writeVHD(vhd.WriteDynamic)},
		{"vhd-fixed", "", "Azure: fixed", writeVHD(vhd.WriteFixed)},
		{"vhd.tar.gz", ".vhd.tar.gz", "Rackspace on XenServer: a dynamic image.vhd in a tar", writeVHDTar},
		{"vmdk", ".vmdk", "VMware, EC2: stream-optimized", writeVMDK},
	}
}

// Named finds a format by its name.
func Named(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, hint.Add(fmt.Errorf("unknown format %q", name), "the formats are %s", strings.Join(names, ", "))
}

// ForFile finds the format that a file's name asks for: the one with the longest
// extension that fits.
func ForFile(path string) (found Format, err error) {
	for _, f := range Formats() {
		if strings.HasSuffix(path, f.Extension) && len(f.Extension) > len(found.Extension) {
			found = f
		}
	}
	if found.Name == "" {
		return found, hint.Add(fmt.Errorf("%s: the name tells no format", path), "name one with --format, or end the file's name in .raw, .qcow2, .vhd, .vmdk, .tar.gz or .zst")
	}
	return found, nil
}

// Write writes a disk to w, an empty file.
func (f Format) Write(ctx context.Context, w *os.File, disk *raw.Disk, o Options) error {
	if err := disk.Check(); err != nil {
		return err
	}
	if o.Time.IsZero() {
		o.Time = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.ID == [16]byte{} {
		var err error
		if o.ID, err = identity(disk); err != nil {
			return err
		}
	}
	return f.write(ctx, w, disk, o)
}

func writeRaw(ctx context.Context, w *os.File, disk *raw.Disk, _ Options) error {
	if err := disk.Copy(ctx, w); err != nil {
		return err
	}
	return w.Truncate(disk.Size)
}

func writeQcow2(version uint32) func(context.Context, *os.File, *raw.Disk, Options) error {
	return func(ctx context.Context, w *os.File, disk *raw.Disk, _ Options) error {
		return qcow2.Write(ctx, w, disk, version)
	}
}

func writeVHD(write func(context.Context, io.WriterAt, *raw.Disk, vhd.Options) error) func(context.Context, *os.File, *raw.Disk, Options) error {
	return func(ctx context.Context, w *os.File, disk *raw.Disk, o Options) error {
		return write(ctx, w, disk, vhd.Options{ID: o.ID, Time: o.Time})
	}
}

func writeVMDK(ctx context.Context, w *os.File, disk *raw.Disk, o Options) error {
	return vmdk.Write(ctx, w, disk, o.ID)
}
