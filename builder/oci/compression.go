package oci

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/ketch-os/ketch/builder/hint"
)

// How files of the two formats begin (RFC 1952, 2.3.1; RFC 8878, 3.1.1 and 3.1.2).
const (
	magicGzip = "\x1f\x8b"
	magicZstd = "\x28\xb5\x2f\xfd"
)

// maxWindow bounds the memory of a zstd decoder, in bytes: what zstd -22 --ultra needs.
const maxWindow = 128 << 20

// isCompressed says how a layer begins: as a compressed file, or not.
func isCompressed(head []byte) bool {
	return bytes.HasPrefix(head, []byte(magicGzip)) || bytes.HasPrefix(head, []byte(magicZstd))
}

// IsPlain says whether a layer is stored without compression.
func IsPlain(layer io.ReaderAt) (bool, error) {
	head := make([]byte, len(magicZstd))
	n, err := layer.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	return !isCompressed(head[:n]), nil
}

// Decompress writes a layer uncompressed. It does not verify what it reads, and has
// no limit but the writer's.
func Decompress(w io.Writer, r io.Reader) error {
	plain, err := decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	_, err = io.Copy(w, plain)
	return err
}

// decompress undoes the compression that the first bytes tell of. A tar archive
// begins with a file name, which none of the magic numbers is.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 1<<18)
	head, err := b.Peek(len(magicZstd))
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(magicGzip)):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		z.Multistream(false)
		return &gzipMembers{z, b}, nil
	case bytes.HasPrefix(head, []byte(magicZstd)):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	if name := otherCompression(b); name != "" {
		return nil, hint.Add(fmt.Errorf("it is compressed with %s, which the OCI image specification does not have", name),
			"make the image again with gzip or zstd: skopeo copy --dest-compress --dest-compress-format zstd FROM TO")
	}
	return io.NopCloser(b), nil
}

// otherMagics are how files of compressions begin that layers do not have
// (media types of layers: OCI image specification, layer.md). They are long
// enough to be no file name, with which a tar archive begins.
var otherMagics = []struct{ magic, name string }{
	{"\xfd7zXZ\x00", "xz"},
	{"BZh?1AY&SY", "bzip2"}, // the digit is the size of its blocks
	{"\x04\x22\x4d\x18", "lz4"},
	{"LZIP\x01", "lzip"},
}

// otherCompression names the compression of what r holds, if it is one of otherMagics.
func otherCompression(r *bufio.Reader) string {
	for _, f := range otherMagics {
		head, _ := r.Peek(len(f.magic))
		if i := strings.IndexByte(f.magic, '?'); i >= 0 && i < len(head) && '1' <= head[i] && head[i] <= '9' {
			head = slices.Replace(slices.Clone(head), i, i+1, '?')
		}
		if string(head) == f.magic {
			return f.name
		}
	}
	return ""
}

// gzipMembers reads the members of a gzip file one after the other. It ends
// where what follows is no member: bytes behind the last one, which some tools
// write as padding, do not belong to the layer, whose diffID guards it.
type gzipMembers struct {
	member *gzip.Reader
	rest   *bufio.Reader
}

func (g *gzipMembers) Close() error { return g.member.Close() }

func (g *gzipMembers) Read(p []byte) (int, error) {
	n, err := g.member.Read(p)
	if err != io.EOF {
		return n, err
	}
	head, peekErr := g.rest.Peek(len(magicGzip))
	if string(head) != magicGzip {
		if peekErr != nil && !errors.Is(peekErr, io.EOF) {
			return n, peekErr
		}
		return n, io.EOF
	}
	if err := g.member.Reset(g.rest); err != nil {
		return n, err
	}
	g.member.Multistream(false)
	return n, nil
}
