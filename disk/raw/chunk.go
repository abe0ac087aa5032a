package raw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Chunk is a piece of a disk that is not all zeros. Its bytes are valid until
// the function that it is given to returns.
type Chunk struct {
	Offset  int64
	Data    []byte // of the chunk size; shorter only at the end of the disk
	Encoded []byte
}

// Encoder appends the encoded form of data to dst, which is empty. Behind the
// data of a short chunk, up to the chunk size, there are zeros.
type Encoder func(dst, data []byte) ([]byte, error)

// Chunks reads the disk in chunks of a size and calls write for each that is
// not all zeros, in the order of the disk. Every core makes itself an encoder;
// without newEncoder nothing is encoded.
func (d *Disk) Chunks(ctx context.Context, size int64, newEncoder func() Encoder, write func(Chunk) error) error {
	if err := d.Check(); err != nil {
		return err
	}
	p := newPipeline(d, size, runtime.GOMAXPROCS(0))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.dispatch(ctx) })
	for range p.cores {
		group.Go(func() error {
			var encode Encoder
			if newEncoder != nil {
				encode = newEncoder()
			}
			return p.encode(ctx, encode)
		})
	}
	group.Go(func() error { return p.write(ctx, write) })
	return group.Wait()
}

// job is a chunk on its way; when it is written, another one takes its buffers.
type job struct {
	buffer []byte // of the chunk size
	chunk  Chunk
	zero   bool
	done   chan struct{} // the core that encodes has finished
}

// pipeline passes jobs from one goroutine, which finds chunks, over the cores,
// which encode them, to one that writes them in order.
type pipeline struct {
	disk  *Disk
	size  int64
	cores int
	free  chan *job // their number bounds what is in memory
	todo  chan *job
	order chan *job // the same jobs as in todo
}

func newPipeline(d *Disk, size int64, cores int) *pipeline {
	p := &pipeline{disk: d, size: size, cores: cores}
	for _, c := range []*chan *job{&p.free, &p.todo, &p.order} {
		*c = make(chan *job, 2*cores) // room for every job: sending never waits
	}
	for range 2 * cores {
		p.free <- &job{done: make(chan struct{}, 1)}
	}
	return p
}

// dispatch makes a job of every chunk that may hold data.
func (p *pipeline) dispatch(ctx context.Context) error {
	defer close(p.todo)
	defer close(p.order)
	return p.disk.eachChunk(p.size, func(offset int64) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case j := <-p.free:
			j.chunk.Offset = offset
			p.order <- j
			p.todo <- j
			return nil
		}
	})
}

func (p *pipeline) encode(ctx context.Context, encode Encoder) error {
	for j := range p.todo {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := p.read(j); err != nil {
			return err
		}
		if c := &j.chunk; encode != nil && !j.zero {
			var err error
			if c.Encoded, err = encode(c.Encoded[:0], c.Data); err != nil {
				return fmt.Errorf("encode disk at %d: %w", c.Offset, err)
			}
		}
		j.done <- struct{}{}
	}
	return nil
}

func (p *pipeline) read(j *job) error {
	if j.buffer == nil {
		j.buffer = make([]byte, p.size)
	}
	data := j.buffer[:min(p.size, p.disk.Size-j.chunk.Offset)]
	clear(j.buffer[len(data):])
	if n, err := p.disk.ReadAt(data, j.chunk.Offset); n < len(data) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read disk at %d: %w", j.chunk.Offset, err)
	}
	j.chunk.Data, j.zero = data, IsZero(data)
	return nil
}

func (p *pipeline) write(ctx context.Context, write func(Chunk) error) error {
	done := int64(0)
	for j := range p.order {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.done:
		}
		if !j.zero {
			if err := write(j.chunk); err != nil {
				return err
			}
		}
		if done += int64(len(j.chunk.Data)); p.disk.Progress != nil {
			p.disk.Progress(done)
		}
		p.free <- j
	}
	return ctx.Err()
}
