package image

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"

	"github.com/ketch-os/ketch/layout"
)

// initramfs is a cpio archive (newc) with one file, PID 1, compressed with zstd.
// /dev/console is in the archive that is built into the kernel.
func initramfs(pid1 io.Reader, size int64) ([]byte, error) {
	var compressed bytes.Buffer
	z, err := zstd.NewWriter(&compressed, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	archive := cpio.NewWriter(z)
	header := &cpio.Header{Name: layout.InitramfsInit[1:], Mode: cpio.TypeReg | 0o755, Size: size, Links: 1, Inode: 1}
	if err := archive.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := io.Copy(archive, pid1); err != nil {
		return nil, fmt.Errorf("initramfs: copy PID 1: %w", err)
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return compressed.Bytes(), nil
}
