package service

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/linux/sparse"
)

const (
	// maxLog is how many bytes of a log are kept at least. After as many more its
	// head is dropped, so it holds at most twice as much.
	maxLog = 1 << 20
	// maxLine is the longest line of a log in bytes.
	maxLine = 4 << 10
	// lastLines is how many lines are kept for `status`.
	lastLines = 50
)

// Log is the file that a service's output goes to, and the last lines of it. Its
// zero value wants Path. It reports no errors: a service whose log cannot be
// written runs all the same.
type Log struct {
	Path string

	mu     sync.Mutex
	file   *os.File
	size   int64 // written since its head was dropped
	last   []string
	closed bool
}

// WriteLine adds one line.
func (l *Log) WriteLine(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = append(l.last, string(line)); len(l.last) > lastLines {
		l.last = append(l.last[:0], l.last[1:]...)
	}
	if l.closed || !l.ready() {
		return
	}
	n, _ := l.file.Write(append(line[:len(line):len(line)], '\n'))
	l.size += int64(n)
}

// ready opens the file, and drops the head of one that is full.
func (l *Log) ready() bool {
	switch {
	case l.file == nil && l.open() != nil:
		return false
	case l.size >= maxLog:
		l.size = 0
		sparse.Keep(l.file, maxLog) // one that cannot be cut grows on, and is tried again a maxLog later
	}
	return true
}

// open opens the file, makes it where there is none, and cuts it to what a log may
// hold. Whatever is no plain file is removed.
func (l *Log) open() error {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	file, err := plainfile.Open(l.Path, flags, 0o640)
	if err != nil {
		os.MkdirAll(filepath.Dir(l.Path), 0o755)
		if errors.Is(err, plainfile.ErrForeign) {
			os.RemoveAll(l.Path)
		}
		if file, err = plainfile.Open(l.Path, flags, 0o640); err != nil {
			return err
		}
	}
	l.file, l.size = file, 0
	sparse.Keep(file, maxLog)
	return nil
}

// Last returns up to n of the last lines.
func (l *Log) Last(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.last[max(0, len(l.last)-n):]...)
}

// Close closes the file for good. Lines are still kept in memory.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// bucket lets lines through to the console: a burst of them, then a few a
// second. A serial line is slow, and every record waits for it.
type bucket struct {
	spent int // of the burst
	left  int // lines left out since the last that went through
	since time.Time
}

const (
	burst     = 100
	perSecond = 10
)

// take calls show, with the number of lines left out before, if a line may pass.
func (b *bucket) take(show func(left int)) {
	now := time.Now()
	if back := int(now.Sub(b.since).Seconds() * perSecond); back > 0 {
		b.spent, b.since = max(0, b.spent-back), now
	}
	if b.spent >= burst {
		b.left++
		return
	}
	b.spent++
	show(b.left)
	b.left = 0
}
