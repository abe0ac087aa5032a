package convert

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/disk/gnutar"
	"github.com/ketch-os/ketch/disk/raw"
	"github.com/ketch-os/ketch/disk/vhd"
)

// What platforms want the one member of an archive to be called.
const (
	memberRaw = "disk.raw"  // Google Compute Engine
	memberVHD = "image.vhd" // Rackspace's XenServer
)

// pieceSize is what is deflated at a time, in bytes, and the unit of a sparse
// file's map.
const pieceSize = 1 << 20

// writeRawTar writes the disk as Google's "Import boot disks manually" asks for
// it: tar --format=oldgnu -Sczf disk.raw.tar.gz disk.raw.
func writeRawTar(ctx context.Context, w *os.File, disk *raw.Disk, o Options) error {
	member := &gnutar.File{Name: memberRaw, Mode: 0o644, Time: o.Time, Size: disk.Size}
	var err error
	if member.Regions, err = regions(ctx, *disk); err != nil {
		return err
	}
	return writeTar(w, member, func(g *gzipStream) error {
		return disk.Chunks(ctx, pieceSize, newDeflater, g.addChunk)
	})
}

// writeVHDTar writes the disk as a dynamic VHD in an archive, as an ordinary file.
func writeVHDTar(ctx context.Context, w *os.File, disk *raw.Disk, o Options) (err error) {
	f, err := os.CreateTemp(filepath.Dir(w.Name()), ".vhd-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil { // it goes when it is closed
		return err
	}
	quiet := *disk
	quiet.Progress = nil
	if err := vhd.WriteDynamic(ctx, f, &quiet, vhd.Options{ID: o.ID, Time: o.Time}); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	content := open(f, size)
	content.Progress = disk.Progress
	member := &gnutar.File{Name: memberVHD, Mode: 0o644, Time: o.Time, Size: size, Regions: []gnutar.Region{{Offset: 0, Size: size}}}
	return writeTar(w, member, func(g *gzipStream) error {
		return content.AllChunks(ctx, pieceSize, newDeflater, g.addChunk)
	})
}

// writeTar writes an archive of one member, whose data comes from data.
func writeTar(w io.Writer, member *gnutar.File, data func(*gzipStream) error) error {
	header, err := member.Header()
	if err != nil {
		return err
	}
	trailer, err := member.Trailer()
	if err != nil {
		return err
	}
	g, err := newGzip(w)
	if err != nil {
		return err
	}
	if err := g.add(header); err != nil {
		return err
	}
	if err := data(g); err != nil {
		return err
	}
	if err := g.add(trailer); err != nil {
		return err
	}
	return g.finish()
}

// regions finds what holds data: the archive tells of it before it comes.
func regions(ctx context.Context, disk raw.Disk) (list []gnutar.Region, err error) {
	disk.Progress = nil
	err = disk.Chunks(ctx, pieceSize, nil, func(c raw.Chunk) error {
		size := int64(len(c.Data))
		if n := len(list); n > 0 && list[n-1].Offset+list[n-1].Size == c.Offset {
			list[n-1].Size += size
		} else {
			list = append(list, gnutar.Region{Offset: c.Offset, Size: size})
		}
		return nil
	})
	return list, err
}
