package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	start, missing, err := lastLines(log, lines)
	if err == nil && missing != 0 {
		err = readOld(w, log, path, missing)
	}
	if err != nil {
		log.Close()
		return fmt.Errorf("read log %s: %w", name, err)
	}
	if follow {
		return tail(ctx, w, log, start)
	}
	defer log.Close()
	_, err = copyFrom(w, log, start)
	return err
}

// readOld copies the last lines of what was written before the present file.
func readOld(w io.Writer, log *os.File, path string, lines int) error {
	old, err := os.Open(path + oldSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	if same(log, old) { // renamed in between
		return nil
	}
	start, _, err := lastLines(old, lines)
	if err == nil {
		_, err = copyFrom(w, old, start)
	}
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
	return tail(ctx, w, log, offset)
}

// Size is the length of a log's present file in bytes; 0 when there is none.
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

// tail copies from offset on, each time the file changes, and goes on with the
// one that takes its place. It closes the file.
func tail(ctx context.Context, w io.Writer, log *os.File, offset int64) error {
	defer func() { log.Close() }()
	path := log.Name()
	changes, err := watch(ctx, path)
	if err != nil {
		return err
	}
	defer changes.Close()
	for {
		next, err := successor(log, path)
		if err != nil {
			return err
		}
		// Whatever the old file got was there before the new one was made.
		if offset, err = copyFrom(w, log, offset); err != nil {
			if next != nil {
				next.Close()
			}
			return err
		}
		if next != nil {
			log.Close()
			log, offset = next, 0
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
// renaming of one and the making of the next there is none.
func successor(log *os.File, path string) (*os.File, error) {
	next, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if same(log, next) {
		return nil, next.Close()
	}
	return next, nil
}

// same tells whether two descriptors are of one file.
func same(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// copyFrom copies from offset to the end and returns the offset of the end. A
// file shorter than offset was truncated: what had not been read of it is in the
// old file, and the rest is read from its start.
func copyFrom(w io.Writer, log *os.File, offset int64) (int64, error) {
	info, err := log.Stat()
	if err != nil {
		return offset, err
	}
	if info.Size() < offset {
		if err := copyRest(w, log.Name()+oldSuffix, offset); err != nil {
			return offset, err
		}
		offset = 0
	}
	n, err := io.Copy(w, io.NewSectionReader(log, offset, info.Size()-offset))
	return offset + n, err
}

// copyRest copies what follows offset in the copy of a log that was truncated.
func copyRest(w io.Writer, path string, offset int64) error {
	old, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // made room for others
	}
	if err != nil {
		return err
	}
	defer old.Close()
	if _, err := old.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(w, old)
	return err
}

// lastLines finds where the last n lines of a file begin, and how many there are
// too few. A last line without an end counts; a negative n is all lines, and
// never enough.
func lastLines(file *os.File, n int) (start int64, missing int, err error) {
	info, err := file.Stat()
	if err != nil || n < 0 {
		return 0, n, err
	}
	end := info.Size()
	if n == 0 {
		return end, 0, nil
	}
	block := make([]byte, 16<<10)
	for at := end; at > 0; {
		size := min(at, int64(len(block)))
		at -= size
		part := block[:size]
		if _, err := file.ReadAt(part, at); err != nil && err != io.EOF {
			return 0, 0, err
		}
		for i := bytes.LastIndexByte(part, '\n'); i >= 0; i = bytes.LastIndexByte(part[:i], '\n') {
			if at+int64(i) == end-1 {
				continue // the end of the last line
			}
			if n--; n == 0 {
				return at + int64(i) + 1, 0, nil
			}
		}
	}
	if end > 0 {
		n-- // the first line, which nothing ends before
	}
	return 0, n, nil
}
