// Package kernlog keeps the kernel log, which the kernel itself holds in memory and
// overwrites, as a log among the others: layout.KernelLog. A line is
//
//	[   12.345678] notice ketch: runtime-ready in 9.9 s
//
// with the seconds since the kernel started and the level as dmesg(1) names it. A
// line that begins with "--" tells where a boot begins and what is missing.
package kernlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// Keeper copies the kernel log to a log. All fields are needed.
type Keeper struct {
	Log   string // path of the log
	Mark  string // file, on a tmpfs, that holds the number of the next record to copy
	Title string // what the first line says of the boot
}

// records is where records come from: a *kmsg.Reader.
type records interface {
	Next() (kmsg.Record, error)
	Close() error
}

// Run copies until ctx ends. The records that an earlier process has copied on
// this boot are not copied again.
func (k Keeper) Run(ctx context.Context) error {
	reader, err := kmsg.Open()
	if err != nil {
		return err
	}
	return k.copy(ctx, reader)
}

func (k Keeper) copy(ctx context.Context, from records) error {
	stop := context.AfterFunc(ctx, func() { from.Close() })
	defer stop()
	defer from.Close()
	log, err := logfile.Open(k.Log, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return err
	}
	defer log.Close()
	next, fresh, err := k.mark()
	if err != nil {
		return err
	}
	mark, err := os.OpenFile(k.Mark, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer mark.Close()
	if fresh {
		fmt.Fprintf(log, "-- %s\n", k.Title)
	}
	for {
		record, err := from.Next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if record.Sequence < next {
			continue
		}
		write(log, record, record.Sequence-next)
		next = record.Sequence + 1
		if _, err := fmt.Fprintf(io.NewOffsetWriter(mark, 0), "%020d\n", next); err != nil {
			return err
		}
	}
}

// mark reads the number of the next record. Without one this is the first
// process to copy on this boot.
func (k Keeper) mark() (next uint64, fresh bool, err error) {
	text, err := os.ReadFile(k.Mark)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	if next, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
		return 0, true, nil // cut short: better twice than not at all
	}
	return next, false, nil
}

// write writes one record. A log that cannot be written to must not end the
// copying: there may be room later.
func write(log io.Writer, r kmsg.Record, missing uint64) {
	line := fmt.Sprintf("[%12.6f] %-6s %s\n", r.Time.Seconds(), r.Level, r.Text)
	if missing > 0 {
		line = fmt.Sprintf("-- %d records are missing\n", missing) + line
	}
	_, _ = io.WriteString(log, line)
}
