package vmdk

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"

	"github.com/ketch-os/ketch/disk/raw"
)

// Write writes the disk to w. The ID, an argument so that the same disk gives
// the same bytes, names its content.
func Write(ctx context.Context, w io.Writer, disk *raw.Disk, id [16]byte) error {
	if disk.Size/sectorSize > maxSectors {
		return fmt.Errorf("write VMDK: a disk of %d bytes: the format holds 2 TiB", disk.Size)
	}
	s := newStream(w, disk.Size)
	s.start(id)
	if err := disk.Chunks(ctx, GrainSize, compressor, s.add); err != nil {
		return fmt.Errorf("write VMDK: %w", err)
	}
	if err := s.finish(); err != nil {
		return fmt.Errorf("write VMDK: %w", err)
	}
	return nil
}

// compressor makes an encoder that compresses a grain, always a whole one.
func compressor() raw.Encoder {
	z := zlib.NewWriter(io.Discard)
	return func(dst, data []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		z.Reset(out)
		if _, err := z.Write(data[:GrainSize]); err != nil {
			return nil, err
		}
		err := z.Close()
		return out.Bytes(), err
	}
}

// stream is a file being written.
type stream struct {
	w         io.Writer
	err       error // the first one of w
	sector    int64 // written so far
	size      int64 // of the disk, bytes
	directory []uint32
	table     []uint32 // the grain table being filled
	number    int64    // its place in the directory
	used      bool     // it has a grain
}

func newStream(w io.Writer, size int64) *stream {
	tables := divideUp(size, GrainSize*entriesPerTable)
	return &stream{w: w, size: size, directory: make([]uint32, tables), table: make([]uint32, entriesPerTable)}
}

// put writes pieces one behind the other, fills up the last sector, and
// returns the sector that they start at.
func (s *stream) put(pieces ...[]byte) int64 {
	start := s.sector
	b := bytes.Join(pieces, nil)
	s.sector += divideUp(int64(len(b)), sectorSize)
	b = append(b, make([]byte, (s.sector-start)*sectorSize-int64(len(b)))...)
	if s.err == nil {
		_, s.err = s.w.Write(b)
	}
	return start
}

// start writes the header and the descriptor, up to the first grain.
func (s *stream) start(id [16]byte) {
	s.put(encode(newHeader(s.size)))
	s.put([]byte(descriptor(s.size, id)))
	s.put(make([]byte, (overhead-s.sector)*sectorSize))
}

// add writes a grain.
func (s *stream) add(c raw.Chunk) error {
	grain := c.Offset / GrainSize
	if number := grain / entriesPerTable; number != s.number {
		s.flushTable()
		s.number = number
	}
	at := s.put(encode(grainMarker{Sector: uint64(c.Offset / sectorSize), Size: uint32(len(c.Encoded))}), c.Encoded)
	s.table[grain%entriesPerTable], s.used = uint32(at), true
	return s.checkSize()
}

// checkSize tells when a file is longer than tables can tell of, or not writable.
func (s *stream) checkSize() error {
	if s.err == nil && s.sector >= maxSectors {
		s.err = fmt.Errorf("more than %d sectors", int64(maxSectors))
	}
	return s.err
}

// flushTable writes the grain table being filled, if it has a grain, and starts a new one.
func (s *stream) flushTable() {
	if !s.used {
		return
	}
	s.mark(tableMarker, tableSectors)
	s.directory[s.number] = uint32(s.put(encode(s.table)))
	clear(s.table)
	s.used = false
}

func (s *stream) mark(t markerType, sectors int64) {
	s.put(encode(marker{Sectors: uint64(sectors), Type: t}))
}

// finish writes what follows the last grain.
func (s *stream) finish() error {
	s.flushTable()
	footer := newHeader(s.size)
	s.mark(directoryMarker, directorySectors(s.size/sectorSize))
	footer.GrainDirectory = uint64(s.put(encode(s.directory)))
	s.mark(footerMarker, 1)
	s.put(encode(footer))
	s.put(encode(marker{})) // the end of the stream
	return s.checkSize()
}
