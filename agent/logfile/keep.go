package logfile

import (
	"cmp"
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
	// keepEvery is how often logs are looked at. Between two looks one may outgrow
	// its limit by what is written meanwhile.
	keepEvery = 2 * time.Second
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
		l := node.Log{Name: name, Bytes: info.Size(), Modified: info.ModTime().UTC()}
		if old, err := os.Stat(d.file(file.Name() + oldSuffix)); err == nil {
			l.OldBytes = old.Size()
			l.Bytes += old.Size()
		}
		logs = append(logs, l)
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

func (d Dir) file(name string) string { return filepath.Join(string(d), name) }

// Total is what all logs of the directory together may take, in bytes.
func (d Dir) Total() (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(string(d), &fs); err != nil {
		return 0, os.NewSyscallError("statfs "+string(d), err)
	}
	return min(maxTotal, int64(fs.Blocks)*fs.Frsize/share), nil
}

// Keep keeps the logs within their limits until ctx ends. It says what is wrong
// when that changes.
func (d Dir) Keep(ctx context.Context, say func(string)) {
	said := ""
	for {
		total, err := d.Total()
		if err == nil {
			err = d.Trim(total)
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
		case <-time.After(keepEvery):
		}
	}
}

// Trim makes all logs together take at most total bytes. Each may take its even
// part of half of that before it is rotated, at most DefaultLimit; then old logs
// go, the oldest first.
func (d Dir) Trim(total int64) error {
	names, err := d.Names()
	if err != nil || len(names) == 0 {
		return err
	}
	limit := min(DefaultLimit, total/2/int64(len(names)))
	var faults []error
	for _, name := range names {
		if pattern.MatchString(name) {
			faults = append(faults, d.Rotate(name, limit))
		}
	}
	return errors.Join(append(faults, d.dropOld(total))...)
}

// dropOld removes the oldest of the old logs until all files fit.
func (d Dir) dropOld(total int64) error {
	files, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	var sum int64
	var old []fs.FileInfo
	for _, file := range files {
		info, err := file.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		sum += info.Size()
		if strings.HasSuffix(info.Name(), ".log"+oldSuffix) {
			old = append(old, info)
		}
	}
	slices.SortFunc(old, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, file := range old {
		if sum <= total {
			break
		}
		if err := os.Remove(d.file(file.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		sum -= file.Size()
	}
	return nil
}
