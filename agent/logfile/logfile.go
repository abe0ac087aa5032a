// Package logfile keeps the logs of workloads and services: plain files
// NAME.log in one directory, each appended to by its own process (a shim, PID 1,
// ketchd) with O_APPEND.
//
// A log is one file for ever. When it is too large its older half is given back
// to the file system, as a hole that the file begins with (package linux/sparse).
// So writers need not know of it, nothing is lost meanwhile, and an offset means
// the same bytes for ever. A reader that is late sees how many bytes are gone,
// says so in a line, and goes on with a whole line.
//
// The other ways were weighed. To rename and begin another file, the writer must
// be ours: a process beside each container, that must never end, or ketchd, whose
// restart would then block the containers. To copy and truncate loses what is
// written in between, and a reader that is late cannot tell.
//
// Left out: compression.
package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/linux/sparse"
)

// DefaultLimit is the size in bytes at which the older half of a log is dropped.
const DefaultLimit = 16 << 20

// mode is the mode of a log.
const mode = 0o640

// Dir is a directory of logs.
type Dir string

// pattern of names: what containerd accepts as an identifier, too.
var pattern = regexp.MustCompile(`^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`)

// Path is the file of the log called name. A name that could leave the
// directory is an error.
func (d Dir) Path(name string) (string, error) {
	if !pattern.MatchString(name) || len(name) > 76 {
		return "", fmt.Errorf("log name %q: only letters and digits, joined by . _ or -, are allowed", name)
	}
	return filepath.Join(string(d), name+".log"), nil
}

// Open opens a log, and nothing else. The flags are those of open(2).
func Open(path string, flags int) (*os.File, error) { return plainfile.Open(path, flags, mode) }

// Prepare makes sure that the log is a plain file, for a writer that would follow a
// link or wait at a FIFO. Whatever else has its name is removed.
func (d Dir) Prepare(name string) error {
	path, err := d.Path(name)
	if err != nil {
		return err
	}
	file, err := Open(path, os.O_WRONLY|os.O_CREATE)
	if errors.Is(err, plainfile.ErrForeign) {
		if err = os.RemoveAll(path); err == nil {
			file, err = Open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		}
	}
	if err != nil {
		return fmt.Errorf("prepare log %s: %w", name, err)
	}
	return errors.Join(file.Chmod(mode), file.Close()) // one that an earlier version made was for all to read
}

// Trim drops the older half of a log that holds over limit bytes, and tells
// whether it did. A log that does not exist is left alone.
func (d Dir) Trim(name string, limit int64) (trimmed bool, err error) {
	path, err := d.Path(name)
	if err != nil {
		return false, err
	}
	log, err := Open(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer log.Close()
	begin, end, err := extent(log)
	if err != nil || end-begin <= limit {
		return false, err
	}
	if err := sparse.Keep(log, limit/2); err != nil {
		return false, fmt.Errorf("trim log %s: %w", name, err)
	}
	return true, nil
}

// extent is where a log's data begins and ends.
func extent(log *os.File) (begin, end int64, err error) {
	if begin, err = sparse.Data(log, 0); err != nil {
		return 0, 0, err
	}
	info, err := log.Stat()
	if err != nil {
		return 0, 0, err
	}
	return begin, max(begin, info.Size()), nil
}
