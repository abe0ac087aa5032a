package output

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/builder/limit"
)

// Stream is output that is written from its first byte to its last, and so need
// not be a file.
type Stream struct {
	Path   string    // a file; a FIFO or a character device, which is written into; "-" for Stdout
	Stdout io.Writer // standard output
	Limit  int64     // bytes; more is a *limit.Error
}

// Check finds out, before any work is done, that nothing can be written.
func (s Stream) Check() error {
	if s.Path == "-" || s.special() {
		return nil
	}
	return Check(s.Path)
}

// special tells whether the path leads to something that takes a stream. A link
// to such a thing does, too: /dev/stdout is one.
func (s Stream) special() bool {
	info, err := os.Stat(s.Path)
	return err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0
}

// Write lets write make the output. A file appears when all of it is there; with
// an error, or when ctx ends, nothing of it is left.
func (s Stream) Write(ctx context.Context, write func(io.Writer) error) (err error) {
	if err := s.Check(); err != nil {
		return err
	}
	switch {
	case s.Path == "-":
		return write(s.guard(ctx, s.Stdout))
	case s.special():
		f, err := openSpecial(ctx, s.Path)
		if err != nil {
			return err
		}
		// Whoever reads may have stopped: what waits for them ends with ctx.
		stop := context.AfterFunc(ctx, func() { f.SetWriteDeadline(time.Unix(1, 0)) })
		defer stop()
		return ended(ctx, errors.Join(write(s.guard(ctx, f)), f.Close()))
	}
	f, err := Create(ctx, s.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	if err := write(s.guard(ctx, f)); err != nil {
		return err
	}
	return f.Commit()
}

// ended says that ctx has ended where that is why err came about.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// openSpecial opens a device or a FIFO. One that nobody reads yet is waited for,
// as open(2) would, but not beyond ctx.
func openSpecial(ctx context.Context, path string) (*os.File, error) {
	wait := time.NewTicker(50 * time.Millisecond)
	defer wait.Stop()
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if !errors.Is(err, unix.ENXIO) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

func (s Stream) guard(ctx context.Context, w io.Writer) io.Writer {
	return &guarded{limit.New(s.Limit, "write "+s.Path).Writer(w), ctx}
}

// guarded is a writer that ends with a context and has a limit.
type guarded struct {
	w   io.Writer
	ctx context.Context
}

func (g *guarded) Write(p []byte) (int, error) {
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	return g.w.Write(p)
}
