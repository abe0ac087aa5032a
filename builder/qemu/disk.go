package qemu

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ketch-os/ketch/builder/sparse"
	"github.com/ketch-os/ketch/disk/gpt"
)

// Copy makes a sparse copy of a raw image for a machine to write to, size bytes
// long where that is more than the image. Only the data is copied, not the
// holes; where the file system can, the blocks are shared.
func Copy(to, from string, size int64) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	return errors.Join(CopyFile(to, src, size), src.Close())
}

// CopyFile is Copy of a file that is open.
func CopyFile(to string, src *os.File, size int64) (err error) {
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	image, err := src.Seek(0, io.SeekEnd) // of a block device, too
	if err != nil {
		return err
	}
	if err := dst.Truncate(max(size, image)); err != nil {
		return err
	}
	err = sparse.Each(src, image, func(start, end int64) error { return copyRange(dst, src, start, end-start) })
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", src.Name(), to, err)
	}
	return nil
}

func copyRange(dst, src *os.File, at, size int64) error {
	if _, err := src.Seek(at, io.SeekStart); err != nil {
		return err
	}
	if _, err := dst.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err := io.CopyN(dst, src, size) // copy_file_range(2)
	return err
}

// sectors are the properties of a disk device for the sectors that an image is made
// for. QEMU's own choice, 512 bytes, is right where there is no partition table.
func sectors(image string) string {
	size, err := sectorSize(image)
	if err != nil || size == 512 {
		return ""
	}
	return fmt.Sprintf(",logical_block_size=%d,physical_block_size=%[1]d", size)
}

// sectorSize is that of an image's partition table, in bytes.
func sectorSize(image string) (int64, error) {
	f, err := os.Open(image)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	table, err := gpt.Read(f, size)
	if err != nil {
		return 0, err
	}
	return table.SectorSize, nil
}

func copyFile(to, from string) error { return Copy(to, from, 0) }

// lineWith returns the first whole line of text that contains part.
func lineWith(text, part string) (string, bool) {
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "\n") && strings.Contains(line, part) {
			return strings.TrimRight(line, "\r\n"), true
		}
	}
	return "", false
}
