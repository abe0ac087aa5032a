package logfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/sparse"
)

func write(t *testing.T, dir Dir, name, text string) {
	t.Helper()
	path, err := dir.Path(name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestPath(t *testing.T) {
	for name, ok := range map[string]bool{
		"demo-hello": true, "a": true, "a.b_c": true,
		"": false, "..": false, "../x": false, "a/b": false, "-a": false, "a..b": false, "a\x00": false,
		strings.Repeat("a", 77): false,
	} {
		got, err := Dir("/logs").Path(name)
		if (err == nil) != ok || ok && got != "/logs/"+name+".log" {
			t.Errorf("Path(%q) = %q, %v; want ok = %v", name, got, err, ok)
		}
	}
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	for _, test := range []struct {
		text  string
		lines int
		want  string
	}{
		{"", 3, ""},
		{"a\nb\nc\n", 0, ""},
		{"a\nb\nc\n", 1, "c\n"},
		{"a\nb\nc\n", 2, "b\nc\n"},
		{"a\nb\nc\n", 9, "a\nb\nc\n"},
		{"a\nb\nc\n", -1, "a\nb\nc\n"},
		{"a\nb\nc", 2, "b\nc"},
		{"\n\n\n", 2, "\n\n"},
		{"a\n" + long + "\nb\n", 2, long + "\nb\n"},
	} {
		dir := Dir(t.TempDir())
		write(t, dir, "log", test.text)
		var out bytes.Buffer
		if err := dir.Read(t.Context(), &out, "log", test.lines, false); err != nil || out.String() != test.want {
			t.Errorf("Read(%.10q, %d) = %.10q, %v; want %.10q", test.text, test.lines, out.String(), err, test.want)
		}
	}
}

// output is the Writer of a reader that a test holds in its hand: each Write waits
// until the test takes it.
type output chan string

func (o output) Write(p []byte) (int, error) {
	o <- string(p)
	return len(p), nil
}

// want takes what is written until it is a whole text.
func (o output) want(t *testing.T, want string) {
	t.Helper()
	got := ""
	for len(got) < len(want) {
		got += <-o
	}
	if got != want {
		t.Fatalf("the reader wrote %.200q; want %.200q", got, want)
	}
}

// follow follows a log until the test ends.
func follow(t *testing.T, dir Dir, name string, lines int) output {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(output), make(chan error, 1)
	go func() { done <- dir.Read(ctx, out, name, lines, true) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Read = %v; want nil once its context has ended", err)
		}
	})
	return out
}

func TestFollow(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "old\nlast\n")
	write(t, dir, "other", "")
	out := follow(t, dir, "log", 1)
	out.want(t, "last\n")
	write(t, dir, "other", "not yours\n")
	write(t, dir, "log", "ne")
	out.want(t, "ne")
	write(t, dir, "log", "w\n")
	out.want(t, "w\n")
}

// numbered are numbered lines of at least so many bytes, and the next number.
func numbered(first, bytes int) (text string, next int) {
	var b strings.Builder
	for ; b.Len() < bytes; first++ {
		b.WriteString(numberedLine(first))
	}
	return b.String(), first
}

// TestSlowReader: a reader that takes one piece while the log is trimmed again and
// again gets each line that it gets once, in order and whole, and is told of how
// many bytes it missed: what it got and what it missed is what was written.
func TestSlowReader(t *testing.T) {
	for _, limit := range []int64{1 << 30, 24 * block, 4 * block} { // misses nothing, little, much
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			dir := Dir(t.TempDir())
			text, n := numbered(0, 100)
			write(t, dir, "log", text)
			out := follow(t, dir, "log", -1)
			written, got := len(text), <-out
			for range 10 { // the reader now waits for the test, or is about to
				text, n = numbered(n, 3*block)
				write(t, dir, "log", text)
				written += len(text)
				if _, err := dir.Trim("log", limit); err != nil {
					t.Fatal(err)
				}
			}
			end := "the end\n"
			write(t, dir, "log", end)
			for !strings.HasSuffix(got, end) {
				got += <-out
			}
			received, missed := account(t, got[:len(got)-len(end)], n)
			if late := limit < 1<<30; late != (missed > 0) {
				t.Errorf("missed %d bytes with a limit of %d", missed, limit)
			}
			if received+missed != written {
				t.Errorf("got %d bytes and missed %d of %d", received, missed, written)
			}
		})
	}
}

func numberedLine(n int) string { return fmt.Sprintf("line %08d of a log that is trimmed\n", n) }

// account checks that lines are numbered in order up to n, but for gaps that a line
// tells of, and whole, but for one that was begun before such a line. It returns how
// many bytes of the log there are, and how many are missing.
func account(t *testing.T, text string, n int) (got, missed int) {
	t.Helper()
	next, gap := 0, false
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines[:len(lines)-1] {
		var number, bytes int
		if _, err := fmt.Sscanf(line, "-- %d bytes were lost", &bytes); err == nil {
			missed, gap = missed+bytes, true
			continue
		}
		begun, ended := strings.CutSuffix(line, "\n")
		if ended && strings.HasPrefix(lines[i+1], "-- ") && !gap && line != numberedLine(next) {
			if !strings.HasPrefix(numberedLine(next), begun) {
				t.Fatalf("before a gap there is %q", line)
			}
			got += len(begun)
			continue
		}
		if _, err := fmt.Sscanf(line, "line %d of", &number); err != nil || line != numberedLine(number) {
			t.Fatalf("a line is not whole: %q", line)
		}
		if number != next && !(gap && number > next) {
			t.Fatalf("line %d follows line %d", number, next-1)
		}
		next, gap = number+1, false
		got += len(line)
	}
	if next != n {
		t.Errorf("the last line is %d; want %d", next-1, n-1)
	}
	return got, missed
}

// TestFollowLosesNothing: a writer that never waits, a log that is trimmed again
// and again, a reader that keeps up: every line once and in order.
func TestFollowLosesNothing(t *testing.T) {
	dir := Dir(t.TempDir())
	text, n := numbered(0, 100)
	write(t, dir, "log", text)
	out := follow(t, dir, "log", -1)
	out.want(t, text)
	for range 40 {
		text, n = numbered(n, block)
		write(t, dir, "log", text)
		out.want(t, text)
		if _, err := dir.Trim("log", 2*block); err != nil {
			t.Fatal(err)
		}
	}
}

// opened is a reader of a log from its beginning, for a test to drive.
func opened(t *testing.T, dir Dir, name string, w io.Writer) *reader {
	t.Helper()
	path, err := dir.Path(name)
	if err != nil {
		t.Fatal(err)
	}
	log, err := Open(path, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return &reader{log: log, w: w}
}

// TestTrimInTheMiddleOfALine: what was begun is ended before anything else is said.
func TestTrimInTheMiddleOfALine(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "begun")
	var out bytes.Buffer
	r := opened(t, dir, "log", &out)
	if err := r.copy(); err != nil {
		t.Fatal(err)
	}
	rest := strings.Repeat("x", 4*block) + "\n"
	write(t, dir, "log", rest)
	dir.Trim("log", 2*block)
	write(t, dir, "log", "next\n")
	want := fmt.Sprintf("begun\n-- %d bytes were lost: they were dropped before they could be read\nnext\n", len(rest))
	if err := r.copy(); err != nil || out.String() != want {
		t.Errorf("the reader wrote %q, %v; want %q", out.String(), err, want)
	}
}

func TestFollowWhatIsTruncated(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "a line\n")
	out := follow(t, dir, "log", -1)
	out.want(t, "a line\n")
	path, _ := dir.Path("log")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	out.want(t, "-- the log was truncated: what had not been read is lost\n")
	write(t, dir, "log", "new\n")
	out.want(t, "new\n")
}

// TestFollowWhatIsReplaced: what was written to both files is there, with a line
// between them.
func TestFollowWhatIsReplaced(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "one\n")
	out := follow(t, dir, "log", -1)
	out.want(t, "one\n")
	path, _ := dir.Path("log")
	for round := range 5 {
		late, early := fmt.Sprintln("late", round), fmt.Sprintln("early", round)
		write(t, dir, "log", late)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "log", early)
		out.want(t, late+"-- the log is another file from here on\n"+early)
	}
}

// TestLap: the file was shortened by a lap under a reader.
func TestLap(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "one\ntwo\n")
	var out bytes.Buffer
	r := opened(t, dir, "log", &out)
	r.offset = sparse.Lap + int64(len("one\n"))
	if err := r.copy(); err != nil || out.String() != "two\n" {
		t.Errorf("after a lap the reader wrote %q, %v; want two", out.String(), err)
	}
}

func TestReadTrimmed(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "x"+strings.Repeat("-", 4*block)+"\na\nb\nc\n")
	if trimmed, err := dir.Trim("log", 2*block); !trimmed || err != nil {
		t.Fatalf("Trim = %v, %v", trimmed, err)
	}
	for lines, want := range map[int]string{-1: "a\nb\nc\n", 0: "", 1: "c\n", 3: "a\nb\nc\n", 4: "a\nb\nc\n"} {
		var out bytes.Buffer
		if err := dir.Read(t.Context(), &out, "log", lines, false); err != nil || out.String() != want {
			t.Errorf("Read(%d) = %q, %v; want %q", lines, out.String(), err, want)
		}
	}
}

func TestFollowNewFile(t *testing.T) {
	dir := Dir(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(output), make(chan error, 1)
	none := dir.Size("log")
	go func() { done <- dir.Follow(ctx, out, "log", none) }()
	write(t, dir, "log", "first\n")
	out.want(t, "first\n")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTrim(t *testing.T) {
	dir := Dir(t.TempDir())
	if trimmed, err := dir.Trim("none", 10); trimmed || err != nil {
		t.Errorf("Trim of no log = %v, %v", trimmed, err)
	}
	write(t, dir, "log", strings.Repeat("x", 4*block))
	path, _ := dir.Path("log")
	writer, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0) // as a shim has it
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for _, test := range []struct {
		limit   int64
		trimmed bool
		held    int64
	}{{4 * block, false, 4 * block}, {4*block - 2, true, 2 * block}} {
		trimmed, err := dir.Trim("log", test.limit)
		if got := held(t, dir)["log"]; trimmed != test.trimmed || err != nil || got != test.held {
			t.Errorf("Trim(%d) = %v, %v and leaves %d bytes; want %v and %d", test.limit, trimmed, err, got, test.trimmed, test.held)
		}
	}
	io.WriteString(writer, "more")
	if got := held(t, dir)["log"]; got != 2*block+4 {
		t.Errorf("after another 4 bytes the log holds %d; want %d", got, 2*block+4)
	}
}

// TestLinksAreNotFollowed: whoever could write to the disk has put something else
// where a log should be.
func TestLinksAreNotFollowed(t *testing.T) {
	for kind, place := range map[string]func(path, secret string) error{
		"symbolic link": func(path, secret string) error { return os.Symlink(secret, path) },
		"FIFO":          func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
		"directory":     func(path, _ string) error { return os.MkdirAll(path+"/sub", 0o700) },
		"socket":        func(path, _ string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	} {
		t.Run(kind, func(t *testing.T) {
			dir := Dir(t.TempDir())
			secret := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			path, _ := dir.Path("log")
			if err := place(path, secret); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := dir.Read(t.Context(), &out, "log", -1, false); err == nil || out.Len() > 0 {
				t.Errorf("Read = %q, %v; want an error", out.String(), err)
			}
			if _, err := dir.Trim("log", 1); err == nil {
				t.Error("Trim = nil; want an error")
			}
			if err := dir.Follow(t.Context(), &out, "log", 0); err == nil {
				t.Error("Follow = nil; want an error")
			}
			if names, err := dir.Names(); len(names) > 0 || err != nil {
				t.Errorf("Names = %v, %v; want none", names, err)
			}
			if err := dir.Prepare("log"); err != nil {
				t.Errorf("Prepare = %v", err)
			}
			write(t, dir, "log", "a line\n")
			if text, err := os.ReadFile(secret); string(text) != "secret\n" {
				t.Errorf("the file that a link led to is %q, %v", text, err)
			}
			if err := dir.Read(t.Context(), &out, "log", -1, false); err != nil || out.String() != "a line\n" {
				t.Errorf("Read after Prepare = %q, %v", out.String(), err)
			}
		})
	}
}

func TestPrepareLeavesALogAlone(t *testing.T) {
	dir := Dir(t.TempDir())
	for range 2 {
		if err := dir.Prepare("log"); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "log", "x")
	}
	if got := held(t, dir)["log"]; got != 2 {
		t.Errorf("the log holds %d bytes; want 2", got)
	}
	if err := dir.Prepare("../x"); err == nil {
		t.Error("Prepare(../x) = nil; want an error")
	}
}

func TestConsole(t *testing.T) {
	for _, test := range []struct {
		writes []string
		want   string
	}{
		{[]string{"a\n"}, "x: a\n"},
		{[]string{"a", "b\nc"}, "x: ab\n"},
		{[]string{"a\r\n\nb\n"}, "x: a\nx: \nx: b\n"},
		{[]string{"\x1b[2J\tä\n"}, "x: \\x1b[2J\tä\n"},
		{[]string{strings.Repeat("y", 2000), "\nz\n"}, "x: " + strings.Repeat("y", maxLine) + "\nx: z\n"},
	} {
		var out bytes.Buffer
		console := &Console{W: &out, Prefix: "x: "}
		for _, text := range test.writes {
			console.Write([]byte(text))
		}
		if out.String() != test.want {
			t.Errorf("Console(%.20q) = %.40q; want %.40q", test.writes, out.String(), test.want)
		}
	}
}

func TestConsoleLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		console := &Console{W: &out, Prefix: "x: "}
		for range maxLines + 7 {
			fmt.Fprintln(console, "flood")
		}
		if got := strings.Count(out.String(), "x: flood\n"); got != maxLines {
			t.Errorf("%d lines of a flood were passed on; want %d", got, maxLines)
		}
		out.Reset()
		time.Sleep(period)
		fmt.Fprintln(console, "calm")
		if got, want := out.String(), "x: (7 lines are in the log only)\nx: calm\n"; got != want {
			t.Errorf("after the flood %q; want %q", got, want)
		}
	})
}

// TestPrepareMode: a log is for root and its group, whoever made the file.
func TestPrepareMode(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "old", "x\n")
	for _, name := range []string{"old", "new"} {
		if err := dir.Prepare(name); err != nil {
			t.Fatal(err)
		}
		path, _ := dir.Path(name)
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("log %s: mode %v, %v; want %v", name, info.Mode(), err, os.FileMode(mode))
		}
	}
}
