package raw

import (
	"context"
	"io"
)

// chunkSize is how much is copied at a time, in bytes.
const chunkSize = 1 << 20

// holeSize is the smallest hole that Write leaves, in bytes: a block of the
// file systems that images lie on.
const holeSize = 4096

// Copy writes the disk to w, where nothing is yet: blocks of zeros are left
// out. The caller sets the length of a file that ends with a hole.
func (d *Disk) Copy(ctx context.Context, w io.WriterAt) error {
	return d.Chunks(ctx, chunkSize, nil, func(c Chunk) error { return Write(w, c.Data, c.Offset) })
}

// Write writes data at an offset of w, where nothing is yet: the aligned blocks
// of data that are zero are left out.
func Write(w io.WriterAt, data []byte, offset int64) error {
	for start := 0; start < len(data); {
		end := start
		for end < len(data) && !IsZero(block(data[end:])) {
			end += len(block(data[end:]))
		}
		if end > start {
			if _, err := w.WriteAt(data[start:end], offset+int64(start)); err != nil {
				return err
			}
		}
		start = end + len(block(data[end:])) // the block of zeros that ended the run, if one did
	}
	return nil
}

func block(data []byte) []byte { return data[:min(holeSize, len(data))] }
