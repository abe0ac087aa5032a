// Package logfile keeps the logs of workloads and services: plain files
// NAME.log in one directory, each written by its own process (a shim, PID 1)
// with O_APPEND.
//
// A log that outgrows its limit is copied to NAME.log.1 and truncated. That
// works while others hold the file open, which a rename would not; what is
// written between the end of the copy and the truncation, a few microseconds,
// is lost. Left out: compression, more than one old log.
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

// Names lists the logs of the directory, sorted.
func (d Dir) Names() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(string(d), "*.log"))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(files))
	for _, file := range files {
		base := filepath.Base(file)
		names = append(names, base[:len(base)-len(".log")])
	}
	return names, nil
}

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
	if err := copyTo(path+".1", log, limit); err != nil {
		return fmt.Errorf("rotate log %s: %w", name, err)
	}
	return log.Truncate(0)
}

// copyTo writes what is left of log, at most its last limit bytes, to a new
// file: a log that has grown without bound must not be doubled.
func copyTo(path string, log *os.File, limit int64) error {
	if _, err := log.Seek(-limit, io.SeekEnd); err != nil {
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
