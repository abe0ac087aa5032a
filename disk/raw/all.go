package raw

import "context"

// AllChunks is like Chunks, but calls write for chunks of zeros, too. They are
// not read where the disk has holes, and encoded once.
func (d *Disk) AllChunks(ctx context.Context, size int64, newEncoder func() Encoder, write func(Chunk) error) error {
	z := zeroChunks{encode: newEncoder(), data: make([]byte, size), write: write}
	err := d.Chunks(ctx, size, newEncoder, func(c Chunk) error {
		if err := z.fill(ctx, c.Offset); err != nil {
			return err
		}
		z.next += int64(len(c.Data))
		return write(c)
	})
	if err != nil {
		return err
	}
	return z.fill(ctx, d.Size)
}

// zeroChunks writes the chunks that Chunks leaves out.
type zeroChunks struct {
	encode  Encoder
	data    []byte // one chunk
	encoded []byte // its form, once there was one
	next    int64  // where on the disk the next chunk starts
	write   func(Chunk) error
}

// fill writes chunks up to an offset: all but the disk's last one are whole.
func (z *zeroChunks) fill(ctx context.Context, end int64) (err error) {
	for z.next < end && err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := Chunk{Offset: z.next, Data: z.data[:min(int64(len(z.data)), end-z.next)], Encoded: z.encoded}
		if c.Encoded == nil || len(c.Data) < len(z.data) {
			if c.Encoded, err = z.encode(nil, c.Data); err != nil {
				return err
			}
		}
		if len(c.Data) == len(z.data) {
			z.encoded = c.Encoded
		}
		z.next += int64(len(c.Data))
		err = z.write(c)
	}
	return err
}
