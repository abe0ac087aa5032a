package logfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
)

// Read copies the last lines of a log to w; all of them when lines is negative.
// With follow it goes on with what is appended until ctx ends, which is no error.
func (d Dir) Read(ctx context.Context, w io.Writer, name string, lines int, follow bool) error {
	path, err := d.Path(name)
	if err != nil {
		return err
	}
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	start, err := lastLines(log, lines)
	if err != nil {
		return fmt.Errorf("read log %s: %w", name, err)
	}
	if follow {
		return tail(ctx, w, log, start)
	}
	_, err = copyFrom(w, log, start)
	return err
}

// Follow copies what is appended to a log after offset to w until ctx ends,
// which is no error. The file is made when it does not exist.
func (d Dir) Follow(ctx context.Context, w io.Writer, name string, offset int64) error {
	path, err := d.Path(name)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	return tail(ctx, w, log, offset)
}

// Size is the length of a log in bytes; 0 when there is none.
func (d Dir) Size(name string) int64 {
	path, err := d.Path(name)
	if err != nil {
		return 0
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// tail copies from offset on, each time the file changes.
func tail(ctx context.Context, w io.Writer, log *os.File, offset int64) error {
	changes, err := watch(ctx, log.Name())
	if err != nil {
		return err
	}
	defer changes.Close()
	for {
		offset, err = copyFrom(w, log, offset)
		if err != nil {
			return err
		}
		if err := changes.next(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch %s: %w", log.Name(), err)
		}
	}
}

// copyFrom copies from offset to the end and returns the offset of the end.
// A file shorter than offset was truncated: it is read from its start.
func copyFrom(w io.Writer, log *os.File, offset int64) (int64, error) {
	info, err := log.Stat()
	if err != nil {
		return offset, err
	}
	if info.Size() < offset {
		offset = 0
	}
	n, err := io.Copy(w, io.NewSectionReader(log, offset, info.Size()-offset))
	return offset + n, err
}

// lastLines finds where the last n lines of a file begin. A last line without
// an end counts.
func lastLines(file *os.File, n int) (int64, error) {
	info, err := file.Stat()
	if err != nil || n < 0 {
		return 0, err
	}
	end := info.Size()
	if n == 0 {
		return end, nil
	}
	block := make([]byte, 16<<10)
	for at := end; at > 0; {
		size := min(at, int64(len(block)))
		at -= size
		part := block[:size]
		if _, err := file.ReadAt(part, at); err != nil && err != io.EOF {
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
	return 0, nil
}
