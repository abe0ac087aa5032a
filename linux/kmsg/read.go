package kmsg

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Record is one record of the kernel log.
type Record struct {
	Level    Level
	Sequence uint64        // numbers follow each other without a gap
	Time     time.Duration // since the kernel started
	Text     string
}

// Names of levels, as dmesg(1) has them.
func names() [8]string {
	return [8]string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}
}

// String is the level's name: "warn".
func (l Level) String() string {
	if all := names(); l >= 0 && int(l) < len(all) {
		return all[l]
	}
	return strconv.Itoa(int(l))
}

// Reader reads the kernel log from its oldest record on.
type Reader struct {
	file   *os.File
	buffer [8 << 10]byte // a record that does not fit would be refused; the kernel's have 2 KiB
}

// Open opens the kernel log for reading. Reading waits in Go's poller: Close
// ends it.
func Open() (*Reader, error) {
	file, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the kernel log: %w", err)
	}
	return &Reader{file: file}, nil
}

// Next waits for a record. Where records were overwritten before they could be
// read, it goes on with the oldest that is left. A gap in the numbers tells of
// them.
func (r *Reader) Next() (Record, error) {
	for {
		n, err := r.file.Read(r.buffer[:])
		if errors.Is(err, unix.EPIPE) {
			continue
		}
		if err != nil {
			return Record{}, fmt.Errorf("read the kernel log: %w", err)
		}
		return parse(string(r.buffer[:n]))
	}
}

// Close ends the reading.
func (r *Reader) Close() error { return r.file.Close() }

// parse takes a record apart: "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT",
// a newline, and lines of properties, each of which begins with a space. The
// three lower bits of the priority are the level.
func parse(data string) (r Record, err error) {
	head, text, ok := strings.Cut(data, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return r, fmt.Errorf("kernel log record %.40q: it does not begin with numbers", data)
	}
	priority, errs := strconv.ParseUint(fields[0], 10, 32)
	sequence, errSequence := strconv.ParseUint(fields[1], 10, 64)
	usec, errUsec := strconv.ParseUint(fields[2], 10, 53)
	if err := errors.Join(errs, errSequence, errUsec); err != nil {
		return r, fmt.Errorf("kernel log record %.40q: %w", data, err)
	}
	text, _, _ = strings.Cut(text, "\n")
	return Record{Level(priority & 7), sequence, time.Duration(usec) * time.Microsecond, text}, nil
}
