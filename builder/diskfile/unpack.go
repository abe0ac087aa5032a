package diskfile

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/layout"
)

// Limits of what is unpacked.
const (
	maxWindow = 128 * layout.MiB // of zstd: what its decoders take unless told otherwise
	chunkSize = 64 * layout.KiB  // zeros are left out in pieces of this size
)

// gunzip unpacks RFC 1952.
func (d *File) gunzip() error {
	z, err := gzip.NewReader(io.NewSectionReader(d.Disk, 0, d.Size))
	if err != nil {
		return err
	}
	return d.unpack(z)
}

// unzstd unpacks RFC 8878.
func (d *File) unzstd() error {
	z, err := zstd.NewReader(io.NewSectionReader(d.Disk, 0, d.Size), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	return d.unpack(z)
}

// unpack writes a stream into a temporary file, which has no name: it goes when it is closed.
func (d *File) unpack(r io.Reader) (err error) {
	f, err := os.CreateTemp("", "ketch-disk-*")
	if err != nil {
		return err
	}
	d.closers = append(d.closers, f.Close)
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	// One byte more tells what is too large from what just fits.
	size, err := CopySparse(f, io.LimitReader(r, min(d.most, math.MaxInt64-1)+1))
	if err == nil {
		err = limit.Check(size, d.most, "unpack")
	}
	if err != nil {
		return err
	}
	d.Disk, d.Size = f, size
	return f.Truncate(size)
}

// CopySparse copies a stream to a file, leaving holes where there is nothing but zeros.
func CopySparse(to io.WriterAt, from io.Reader) (size int64, err error) {
	chunk, zeros := make([]byte, chunkSize), make([]byte, chunkSize)
	for err == nil {
		var n int
		n, err = fill(chunk, from)
		if !bytes.Equal(chunk[:n], zeros[:n]) {
			if _, err := to.WriteAt(chunk[:n], size); err != nil {
				return size, err
			}
		}
		size += int64(n)
	}
	if err == io.EOF {
		err = nil
	}
	return size, err
}

// fill reads until p is full. Unlike io.ReadFull it keeps the end of the stream,
// io.EOF, apart from the stream's own io.ErrUnexpectedEOF: it is cut off.
func fill(p []byte, from io.Reader) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = from.Read(p[n:])
		n += more
	}
	return n, err
}
