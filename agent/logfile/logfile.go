// Package logfile keeps the logs of workloads and services: plain files
// NAME.log in one directory, each written by its own process (a shim, PID 1,
// ketchd) with O_APPEND. What a log held before it was begun anew is NAME.log.1.
//
// PID 1 renames a service's log when it is full and begins another. A workload's
// is copied and truncated: that works while others hold the file open, which a
// rename would not; what is written between the end of the copy and the
// truncation, a few microseconds, is lost. Whoever reads or follows a log sees
// through both. Left out: compression, more than one old log.
package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// DefaultLimit is the size in bytes at which a log is rotated.
const DefaultLimit = 8 << 20

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

// oldSuffix is added to the name of the file that was begun before the present one.
const oldSuffix = ".1"

// Rotate moves the log's content aside when it is over limit bytes. A log that
// does not exist is left alone.
func (d Dir) Rotate(name string, limit int64) error {
	path, err := d.Path(name)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil || info.Size() <= limit {
		return err
	}
	if err := copyTo(path+oldSuffix, log, 2*limit); err != nil {
		return fmt.Errorf("rotate log %s: %w", name, err)
	}
	return log.Truncate(0)
}

// copyTo writes what is left of log to a new file; of one that has grown without
// bound only its last limit bytes, for it must not be doubled.
func copyTo(path string, log *os.File, limit int64) error {
	info, err := log.Stat()
	if err != nil {
		return err
	}
	if _, err := log.Seek(max(0, info.Size()-limit), io.SeekStart); err != nil {
		return err
	}
	old, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	if _, err := io.Copy(old, log); err != nil {
		old.Close()
		return err
	}
	return old.Close()
}
