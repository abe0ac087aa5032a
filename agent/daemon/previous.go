package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ketch-os/ketch/agent/kernlog"
	"github.com/ketch-os/ketch/agent/lastrun"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
)

const (
	// maxLastWords is how much of a dump is shown, in bytes.
	maxLastWords = 16 << 10
	// maxDump and maxRun are the largest files, in bytes, that PID 1 does not write:
	// init/bootlog.
	maxDump, maxRun = 1 << 20, 1 << 20
)

// previousRun tells how the run before this one ended, from what PID 1 keeps.
func previousRun() (*pid1.Previous, error) {
	return readPrevious(layout.PreviousRun, layout.CurrentRun, layout.CrashDir)
}

func readPrevious(previous, current, crashes string) (*pid1.Previous, error) {
	run, err := readRun(previous)
	next, errNext := readRun(current)
	if err := errors.Join(err, errNext); err != nil {
		return nil, fmt.Errorf("read record of the previous boot: %w", err)
	}
	p := lastrun.Judge(run, next)
	if n := len(p.Crashes); n > 0 && p.End == pid1.EndPanic {
		text, err := readDump(crashes, p.Crashes[n-1].Path)
		if err != nil {
			return nil, fmt.Errorf("read last words: %w", err)
		}
		p.LastWords = lastWords(string(text))
	}
	return p, nil
}

// readDump reads a dump. Its path comes from a file, which may say anything, so
// only what lies below the directory of crashes is read.
func readDump(dir, path string) ([]byte, error) {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return plainfile.ReadIn(root, name, maxDump)
}

// readRun reads a record; nil where there is none, or one that a broken disk has
// spoilt.
func readRun(path string) (*pid1.Run, error) {
	text, err := plainfile.Read(path, maxRun)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, plainfile.ErrTooLarge) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	run := new(pid1.Run)
	if json.Unmarshal(text, run) != nil {
		return nil, nil
	}
	return run, nil
}

// lastWords is the end of a dump, from the beginning of a line on.
func lastWords(dump string) string {
	if len(dump) <= maxLastWords {
		return dump
	}
	_, whole, _ := strings.Cut(dump[len(dump)-maxLastWords:], "\n")
	return whole
}

// keepKernelLog keeps the kernel log among the others, and tries again where it
// cannot.
func (n *Node) keepKernelLog(ctx context.Context) {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	image, _ := imageInfo() // an error has been told already
	keeper := kernlog.Keeper{
		Log: filepath.Join(layout.LogDir, layout.KernelLog+".log"), Mark: layout.KernelMark,
		Title: fmt.Sprintf("boot %s of Ketch %s at %s", strings.TrimSpace(string(boot)), image.Version, time.Now().UTC().Format(time.RFC3339)),
	}
	for {
		err := n.workloads.Logs.Prepare(layout.KernelLog)
		if err == nil {
			err = keeper.Run(ctx)
		}
		if err == nil {
			return
		}
		n.say("error: keep kernel log: " + err.Error())
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Minute):
		}
	}
}
