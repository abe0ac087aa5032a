package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/ketch-os/ketch/linux/sparse"
)

// Read copies the last lines of a log to w; all of them when lines is negative.
// With follow it goes on with what is appended until ctx ends, which is no error.
func (d Dir) Read(ctx context.Context, w io.Writer, name string, lines int, follow bool) error {
	path, err := d.Path(name)
	if err != nil {
		return err
	}
	log, err := Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	start, err := lastLines(log, lines)
	if err != nil {
		log.Close()
		return fmt.Errorf("read log %s: %w", name, err)
	}
	r := &reader{log: log, w: w, offset: start}
	if follow {
		return r.follow(ctx)
	}
	defer log.Close()
	return r.copy()
}

// Follow copies what is appended to a log after offset to w until ctx ends,
// which is no error. The file is made when it does not exist.
func (d Dir) Follow(ctx context.Context, w io.Writer, name string, offset int64) error {
	path, err := d.Path(name)
	if err != nil {
		return err
	}
	log, err := Open(path, os.O_RDONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	return (&reader{log: log, w: w, offset: offset}).follow(ctx)
}

// Size is the offset of a log's end in bytes; 0 when there is none.
func (d Dir) Size(name string) int64 {
	path, err := d.Path(name)
	if err != nil {
		return 0
	}
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// pieceSize is how much is read at once, in bytes.
const pieceSize = 64 << 10

// reader copies a log to a writer that may be slow.
type reader struct {
	log    *os.File
	w      io.Writer
	offset int64 // of the next byte
	lost   int64 // bytes that were dropped unread, and no line has said so yet
	inLine bool  // the writer has the beginning of a line
	piece  [pieceSize]byte
}

// follow copies what there is, each time the file changes, and goes on with one
// that takes its place. It closes the file.
func (r *reader) follow(ctx context.Context) error {
	defer func() { r.log.Close() }()
	path := r.log.Name()
	changes, err := watch(ctx, path)
	if err != nil {
		return err
	}
	defer changes.Close()
	for {
		next, err := successor(r.log, path)
		if err != nil {
			return err
		}
		// Whatever the old file got was there before the new one was made.
		if err := r.copy(); err != nil {
			if next != nil {
				next.Close()
			}
			return err
		}
		if next != nil {
			r.log.Close()
			r.log, r.offset = next, 0
			if err := r.say("the log is another file from here on"); err != nil {
				return err
			}
			continue
		}
		if err := changes.next(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch %s: %w", path, err)
		}
	}
}

// successor opens the file at path if that is not log any more. Between the
// removal of one and the making of the next there is none.
func successor(log *os.File, path string) (*os.File, error) {
	next, err := Open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	infoLog, errLog := log.Stat()
	infoNext, errNext := next.Stat()
	if errLog == nil && errNext == nil && os.SameFile(infoLog, infoNext) {
		return nil, next.Close()
	}
	return next, nil
}

// copy copies up to the end.
func (r *reader) copy() error {
	for {
		piece, err := r.next()
		if err != nil || len(piece) == 0 {
			return err
		}
		if r.lost > 0 {
			if piece = r.skipLine(piece); piece == nil {
				continue
			}
			said := fmt.Sprintf("%d bytes were lost: they were dropped before they could be read", r.lost)
			r.lost = 0
			if err := r.say(said); err != nil {
				return err
			}
		}
		piece = r.wholeLines(piece)
		if len(piece) == 0 {
			continue
		}
		r.inLine = piece[len(piece)-1] != '\n'
		if _, err := r.w.Write(piece); err != nil {
			return err
		}
	}
}

// next reads the next piece, and counts what was dropped before it. At the end it
// returns none.
func (r *reader) next() ([]byte, error) {
	for {
		info, err := r.log.Stat()
		if err != nil {
			return nil, err
		}
		if info.Size() < r.offset {
			if err := r.shortened(info.Size()); err != nil {
				return nil, err
			}
			continue
		}
		begin, err := sparse.Data(r.log, r.offset)
		if err != nil {
			return nil, err
		}
		n, err := r.log.ReadAt(r.piece[:], begin)
		if err != nil && err != io.EOF {
			return nil, err
		}
		// A hole reads as zeros. What was data before and after was data in between,
		// and what follows it, too: the head alone is ever dropped.
		switch again, err := sparse.Data(r.log, begin); {
		case err != nil:
			return nil, err
		case again != begin:
			continue
		}
		r.lost += begin - r.offset
		r.offset = begin + int64(n)
		return r.piece[:n], nil
	}
}

// shortened deals with a file that ends before the offset: a lap of hole was taken
// off it, or somebody has truncated it.
func (r *reader) shortened(size int64) error {
	if r.offset >= sparse.Lap && size >= r.offset-sparse.Lap {
		r.offset -= sparse.Lap
		return nil
	}
	r.offset = 0
	return r.say("the log was truncated: what had not been read is lost")
}

// skipLine takes the rest of a line off a piece whose beginning is lost; nil when
// it has no end.
func (r *reader) skipLine(piece []byte) []byte {
	end := bytes.IndexByte(piece, '\n')
	if end < 0 {
		r.lost += int64(len(piece))
		return nil
	}
	r.lost += int64(end + 1)
	return piece[end+1:]
}

// wholeLines leaves the begun line at the end of a piece to the next one, when more
// is there already: if that is dropped meanwhile, no line is cut.
func (r *reader) wholeLines(piece []byte) []byte {
	end := bytes.LastIndexByte(piece, '\n') + 1
	if end == 0 || len(piece) == 0 || &piece[len(piece)-1] != &r.piece[pieceSize-1] {
		return piece
	}
	r.offset -= int64(len(piece) - end)
	return piece[:end]
}

// say writes a line of our own.
func (r *reader) say(what string) error {
	line := "-- " + what + "\n"
	if r.inLine {
		line = "\n" + line
	}
	r.inLine = false
	_, err := io.WriteString(r.w, line)
	return err
}

// lastLines finds where the last n lines of a log begin; a negative n is all. A
// last line without an end counts, a first whose beginning was dropped does not.
func lastLines(log *os.File, n int) (start int64, err error) {
	begin, end, err := extent(log)
	if err != nil || n == 0 {
		return end, err
	}
	if begin > 0 {
		if begin, err = afterLine(log, begin, end); err != nil {
			return 0, err
		}
	}
	if n < 0 {
		return begin, nil
	}
	block := make([]byte, 16<<10)
	for at := end; at > begin; {
		size := min(at-begin, int64(len(block)))
		at -= size
		part := block[:size]
		if _, err := log.ReadAt(part, at); err != nil && err != io.EOF {
			return 0, err
		}
		for i := bytes.LastIndexByte(part, '\n'); i >= 0; i = bytes.LastIndexByte(part[:i], '\n') {
			if at+int64(i) == end-1 {
				continue // the end of the last line
			}
			if n--; n == 0 {
				return at + int64(i) + 1, nil
			}
		}
	}
	return begin, nil
}

// afterLine is the offset after the first end of a line at or after begin.
func afterLine(log *os.File, begin, end int64) (int64, error) {
	block := make([]byte, 16<<10)
	for begin < end {
		n, err := log.ReadAt(block[:min(end-begin, int64(len(block)))], begin)
		if i := bytes.IndexByte(block[:n], '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		if begin += int64(n); err == io.EOF || n == 0 {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	return end, nil
}
