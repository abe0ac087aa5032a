package logfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/node"
)

const (
	// maxTotal is what all logs together may take, in bytes, and share which part
	// of their file system, if that is less.
	maxTotal = 64 << 20
	share    = 10
	// keepEvery is how often logs are looked at, keepSoon how soon again after one
	// was too large. Between two looks it outgrows its limit by what is written
	// meanwhile.
	keepEvery = 2 * time.Second
	keepSoon  = 100 * time.Millisecond
)

// Logs lists the logs of the directory by name.
func (d Dir) Logs() ([]node.Log, error) {
	files, err := os.ReadDir(string(d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var logs []node.Log
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), ".log")
		info, err := file.Info()
		if !ok || err != nil || !info.Mode().IsRegular() {
			continue
		}
		size, err := d.held(file.Name())
		if err != nil {
			continue // has just been removed
		}
		logs = append(logs, node.Log{Name: name, Bytes: size, Modified: info.ModTime().UTC()})
	}
	slices.SortFunc(logs, func(a, b node.Log) int { return strings.Compare(a.Name, b.Name) })
	return logs, nil
}

// Names lists the names of the logs.
func (d Dir) Names() ([]string, error) {
	logs, err := d.Logs()
	var names []string
	for _, l := range logs {
		names = append(names, l.Name)
	}
	return names, err
}

// held is how many bytes a file holds, less the hole that it begins with.
func (d Dir) held(file string) (int64, error) {
	log, err := Open(filepath.Join(string(d), file), os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	begin, end, err := extent(log)
	return end - begin, err
}

// Total is what all logs of the directory together may take, in bytes.
func (d Dir) Total() (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(string(d), &fs); err != nil {
		return 0, os.NewSyscallError("statfs "+string(d), err)
	}
	return min(maxTotal, int64(fs.Blocks)*fs.Frsize/share), nil
}

// Keep keeps the logs within their limits until ctx ends. It says what is wrong
// when that changes, and calls cut with the name of each log that was too large.
func (d Dir) Keep(ctx context.Context, say, cut func(string)) {
	said := ""
	for {
		total, err := d.Total()
		pause := keepEvery
		if err == nil {
			var trimmed []string
			trimmed, err = d.TrimAll(total)
			for _, name := range trimmed {
				pause = keepSoon
				cut(name)
			}
		}
		wrong := ""
		if err != nil {
			wrong = "keep logs: " + err.Error()
		}
		if wrong != "" && wrong != said {
			say(wrong)
		}
		said = wrong
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// TrimAll makes all logs together take at most total bytes: each may take its even
// part, at most DefaultLimit. It returns the names of those that held more.
func (d Dir) TrimAll(total int64) (trimmed []string, err error) {
	if err := d.dropOld(); err != nil {
		return nil, err
	}
	names, err := d.Names()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	limit := min(DefaultLimit, total/int64(len(names)))
	var faults []error
	for _, name := range names {
		if pattern.MatchString(name) {
			did, err := d.Trim(name, limit)
			if did {
				trimmed = append(trimmed, name)
			}
			faults = append(faults, err)
		}
	}
	return trimmed, errors.Join(faults...)
}

// dropOld removes what earlier versions of the OS kept beside the logs: NAME.log.1.
func (d Dir) dropOld() error {
	old, err := filepath.Glob(filepath.Join(string(d), "*.log.1"))
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
