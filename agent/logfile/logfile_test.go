package logfile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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

// collector is a Writer that a test can wait on.
type collector struct {
	mu   sync.Mutex
	text string
}

func (c *collector) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text += string(p)
	return len(p), nil
}

func (c *collector) wait(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		got := c.text
		c.mu.Unlock()
		if got == want {
			return
		}
	}
	t.Fatalf("collected %q; want %q", c.text, want)
}

func TestFollowAcrossRotation(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "old\nlast\n")
	ctx, cancel := context.WithCancel(t.Context())
	var out collector
	done := make(chan error, 1)
	go func() { done <- dir.Read(ctx, &out, "log", 1, true) }()
	out.wait(t, "last\n")
	write(t, dir, "log", "new\n")
	out.wait(t, "last\nnew\n")
	if err := dir.Rotate("log", 5); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "log", "fresh\n")
	out.wait(t, "last\nnew\nfresh\n")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Read = %v; want nil once its context has ended", err)
	}
}

// TestFollowWhatIsRenamed: PID 1 renames a full log and begins another, and may
// write to both before whoever follows has looked.
func TestFollowWhatIsRenamed(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "one\n")
	write(t, dir, "other", "")
	var out collector
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- dir.Read(ctx, &out, "log", -1, true) }()
	want := "one\n"
	out.wait(t, want)
	path, _ := dir.Path("log")
	for round := range 20 {
		late, early := fmt.Sprintln("late", round), fmt.Sprintln("early", round)
		write(t, dir, "log", late)
		write(t, dir, "other", "not yours\n")
		if err := os.Rename(path, path+oldSuffix); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "log", early)
		want += late + early
		out.wait(t, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestFollowLosesNothing: a writer that never waits, a log that is copied and
// truncated again and again, and every line once and in order.
func TestFollowLosesNothing(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "")
	ctx, cancel := context.WithCancel(t.Context())
	var out collector
	done := make(chan error, 1)
	go func() { done <- dir.Read(ctx, &out, "log", -1, true) }()
	var want strings.Builder
	for n := range 2000 {
		line := fmt.Sprintln("line", n)
		write(t, dir, "log", line)
		want.WriteString(line)
		if n%400 == 399 {
			if err := dir.Rotate("log", 3000); err != nil {
				t.Fatal(err)
			}
			out.wait(t, want.String())
		}
	}
	out.wait(t, want.String())
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadGoesBackToTheOldFile(t *testing.T) {
	dir := Dir(t.TempDir())
	write(t, dir, "log", "a\nb\nc\n")
	if err := dir.Rotate("log", 5); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "log", "d\ne\n")
	for lines, want := range map[int]string{-1: "a\nb\nc\nd\ne\n", 0: "", 1: "e\n", 2: "d\ne\n", 3: "c\nd\ne\n", 4: "b\nc\nd\ne\n", 9: "a\nb\nc\nd\ne\n"} {
		var out bytes.Buffer
		if err := dir.Read(t.Context(), &out, "log", lines, false); err != nil || out.String() != want {
			t.Errorf("Read(%d) = %q, %v; want %q", lines, out.String(), err, want)
		}
	}
}

func TestFollowNewFile(t *testing.T) {
	dir := Dir(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var out collector
	done := make(chan error, 1)
	go func() { done <- dir.Follow(ctx, &out, "log", dir.Size("log")) }()
	path, _ := dir.Path("log")
	for i := 0; i < 500; i++ {
		if _, err := os.Stat(path); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	write(t, dir, "log", "first\n")
	out.wait(t, "first\n")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRotate(t *testing.T) {
	dir := Dir(t.TempDir())
	if err := dir.Rotate("none", 10); err != nil {
		t.Errorf("Rotate of no log = %v", err)
	}
	write(t, dir, "log", "0123456789")
	if err := dir.Rotate("log", 10); err != nil || dir.Size("log") != 10 {
		t.Errorf("Rotate at its limit: size %d, %v; want 10", dir.Size("log"), err)
	}
	write(t, dir, "log", "ABC")
	if err := dir.Rotate("log", 10); err != nil || dir.Size("log") != 0 {
		t.Errorf("Rotate over its limit: size %d, %v; want 0", dir.Size("log"), err)
	}
	old, err := os.ReadFile(filepath.Join(string(dir), "log.log.1"))
	if err != nil || string(old) != "0123456789ABC" {
		t.Errorf("old log = %q, %v; want all of it", old, err)
	}
	write(t, dir, "log", strings.Repeat("x", 100)+"0123456789ABCDEFGHIJ")
	if err := dir.Rotate("log", 10); err != nil {
		t.Error(err)
	}
	if old, _ := os.ReadFile(filepath.Join(string(dir), "log.log.1")); string(old) != "0123456789ABCDEFGHIJ" {
		t.Errorf("old log of one that had grown without bound = %q; want its last 20 bytes", old)
	}
	names, err := dir.Names()
	if fmt.Sprint(names, err) != "[log] <nil>" {
		t.Errorf("Names = %v, %v; want [log]", names, err)
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
		{[]string{"\x1b[2J\tä\n"}, "x: ?[2J\tä\n"},
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
