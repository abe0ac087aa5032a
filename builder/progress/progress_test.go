package progress

import (
	"strings"
	"testing"
	"time"
)

// clock is a time that goes on only when told to.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func TestTerminal(t *testing.T) {
	var out strings.Builder
	c := &clock{time.Unix(1000, 0)}
	b := newBar(&out, true, c.read)
	b.Show("layers", 0, 100<<20)
	if out.Len() != 0 {
		t.Errorf("work that has just begun shows %q; want nothing yet", out.String())
	}
	c.now = c.now.Add(2 * time.Second)
	b.Show("layers", 50<<20, 100<<20)
	b.Show("layers", 51<<20, 100<<20) // too soon after
	want := "\rlayers [" + strings.Repeat("=", 14) + strings.Repeat(" ", 14) + "]  50 % of 100 MiB, 25 MiB/s\x1b[K"
	if out.String() != want {
		t.Errorf("Show printed %q; want %q", out.String(), want)
	}
	out.Reset()
	b.Clear()
	b.Clear()
	if want := "\r\x1b[K"; out.String() != want {
		t.Errorf("Clear twice printed %q; want %q", out.String(), want)
	}
}

func TestPlain(t *testing.T) {
	var out strings.Builder
	c := &clock{time.Unix(1000, 0)}
	b := newBar(&out, false, c.read)
	for done := range int64(13) { // a second each
		b.Show("build: layers", done<<20, 12<<20)
		c.now = c.now.Add(time.Second)
	}
	b.Clear()
	want := "build: layers:  42 % of 12 MiB, 1 MiB/s\nbuild: layers:  83 % of 12 MiB, 1 MiB/s\n"
	if out.String() != want {
		t.Errorf("12 s of work printed %q; want %q", out.String(), want)
	}
}

func TestFraction(t *testing.T) {
	for _, tt := range []struct {
		done, total int64
		want        float64
	}{{0, 0, 0}, {5, 0, 0}, {1, 4, 0.25}, {9, 4, 1}} {
		if got := fraction(tt.done, tt.total); got != tt.want {
			t.Errorf("fraction(%d, %d) = %v; want %v", tt.done, tt.total, got, tt.want)
		}
	}
}
