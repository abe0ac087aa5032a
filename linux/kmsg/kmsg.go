// Package kmsg writes and reads the kernel log through /dev/kmsg
// (Documentation/ABI/testing/dev-kmsg): one write is one record, "<level>text".
// The kernel stamps it, keeps it for pstore and puts it on the console.
package kmsg

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/printable"
)

// Level is a record's severity (syslog(3)).
type Level int

// The levels in use.
const (
	Emergency Level = 0
	Error     Level = 3
	Warning   Level = 4
	Notice    Level = 5 // what a person at the console should see
	Info      Level = 6 // what is worth keeping
)

// maxText keeps a record within the kernel's limit (LOG_LINE_MAX, 1024 bytes
// with its prefix); a longer write would be refused whole.
const maxText = 900

// Log writes records. The zero value writes nowhere.
type Log struct {
	prefix string
	mu     sync.Mutex
	fd     int // outside Go's poller: nothing may wait for it
	open   bool
	plain  bool // fd is a console, not the kernel log: no level
}

// New returns a log that drops its records until it is opened. Each line begins
// with prefix.
func New(prefix string) *Log { return &Log{prefix: prefix} }

// Open opens the kernel log, or the console where there is none, unless the log
// is open. It never fails: without either, records are dropped. Nothing that PID
// 1 does depends on being heard.
func (l *Log) Open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, path := range []string{"/dev/kmsg", "/dev/console"} {
		if l.open {
			return
		}
		// NOCTTY: a console does not become PID 1's controlling terminal.
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err == nil {
			l.fd, l.open, l.plain = fd, true, path == "/dev/console"
		}
	}
}

// Printf writes one record a line.
func (l *Log) Printf(level Level, format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		l.write(level, l.prefix+strings.TrimRight(line, "\r\n"))
	}
}

// Line writes one record of text with a prefix of its own, for output that PID 1
// passes on.
func (l *Log) Line(level Level, prefix, text string) { l.write(level, prefix+text) }

func (l *Log) write(level Level, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		// One system call, whatever becomes of it: a full terminal must not stop PID 1.
		unix.Write(l.fd, encode(level, text, l.plain))
	}
}

// encode makes one record, of what a terminal can be shown.
func encode(level Level, text string, plain bool) []byte {
	text = printable.Text(strings.ReplaceAll(text, "\t", " "))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	if plain {
		return []byte(text + "\r\n")
	}
	return []byte("<" + strconv.Itoa(int(level)) + ">" + text + "\n")
}

// Prepare lets PID 1 write as much as it needs to, and shows records up to
// Notice on the console, even with "quiet". It is done by writing sysctls below
// root, "/proc/sys".
func Prepare(root string) error {
	// By default the kernel takes ten records in five seconds from a process.
	if err := os.WriteFile(root+"/kernel/printk_devkmsg", []byte("on\n"), 0); err != nil {
		return fmt.Errorf("lift the rate limit of /dev/kmsg: %w", err)
	}
	path := root + "/kernel/printk"
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read console log level: %w", err)
	}
	fields := strings.Fields(string(old))
	if level, err := strconv.Atoi(fields[0]); err != nil || level > int(Notice) {
		return err // already shows enough
	}
	fields[0] = strconv.Itoa(int(Notice) + 1) // records below this number are shown
	if err := os.WriteFile(path, []byte(strings.Join(fields, " ")), 0); err != nil {
		return fmt.Errorf("set console log level: %w", err)
	}
	return nil
}
