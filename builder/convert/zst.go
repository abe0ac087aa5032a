package convert

import (
	"context"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/ketch-os/ketch/disk/raw"
)

// frameSize is how much of the disk a zstd frame holds, in bytes.
const frameSize = 4 << 20

// writeZst writes the disk as zstd frames one behind the other (RFC 8878, 3),
// each with its size and a checksum of its content. Cores compress, and can
// decompress, frames at the same time; frames of zeros are all the same.
func writeZst(ctx context.Context, w *os.File, disk *raw.Disk, _ Options) error {
	return disk.AllChunks(ctx, frameSize, newZstd, func(c raw.Chunk) error {
		_, err := w.Write(c.Encoded)
		return err
	})
}

// newZstd makes an encoder of frames.
func newZstd() raw.Encoder {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(frameSize))
	if err != nil {
		panic(err) // the options are constants that it takes
	}
	return func(dst, data []byte) ([]byte, error) { return z.EncodeAll(data, dst), nil }
}
