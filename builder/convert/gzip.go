package convert

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"

	"github.com/ketch-os/ketch/disk/raw"
)

// gzipStream is one gzip member (RFC 1952) made of pieces that were deflated
// each on its own. A piece ends on a byte boundary and refers to nothing before
// it, so that cores can deflate pieces at the same time.
type gzipStream struct {
	w    io.Writer
	sum  uint32
	size uint32 // modulo 2^32
}

// newGzip writes the header (RFC 1952, 2.3): deflate, no name, no time, no system.
func newGzip(w io.Writer) (*gzipStream, error) {
	_, err := w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
	return &gzipStream{w: w}, err
}

// addChunk writes a piece that a deflater has encoded.
func (g *gzipStream) addChunk(c raw.Chunk) error {
	g.sum = crc32.Update(g.sum, crc32.IEEETable, c.Data)
	g.size += uint32(len(c.Data))
	_, err := g.w.Write(c.Encoded)
	return err
}

// add deflates a piece and writes it.
func (g *gzipStream) add(data []byte) error {
	encoded, err := newDeflater()(nil, data)
	if err != nil {
		return err
	}
	return g.addChunk(raw.Chunk{Data: data, Encoded: encoded})
}

// finish ends the deflated data with an empty last block (RFC 1951, 3.2.6) and
// writes the trailer.
func (g *gzipStream) finish() error {
	end := binary.LittleEndian.AppendUint32([]byte{0x03, 0x00}, g.sum)
	_, err := g.w.Write(binary.LittleEndian.AppendUint32(end, g.size))
	return err
}

// newDeflater makes an encoder of pieces.
func newDeflater() raw.Encoder {
	z, err := flate.NewWriter(io.Discard, flate.DefaultCompression)
	if err != nil {
		panic(err) // the level is a constant that it takes
	}
	return func(dst, data []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		z.Reset(out)
		if _, err := z.Write(data); err != nil {
			return nil, err
		}
		err := z.Flush() // ends the piece with an empty stored block, which is aligned
		return out.Bytes(), err
	}
}
