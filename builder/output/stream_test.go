package output

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/builder/limit"
)

func say(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestStream(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tree.tar")
	if err := (Stream{Path: path, Limit: 4}).Write(t.Context(), say("tree")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); string(got) != "tree" {
		t.Errorf("ReadFile() = %q, %v; want tree", got, err)
	}
	var out bytes.Buffer
	if err := (Stream{Path: "-", Stdout: &out, Limit: 4}).Write(t.Context(), say("tree")); err != nil || out.String() != "tree" {
		t.Errorf("standard output has %q, %v; want tree", &out, err)
	}
	wantOnly(t, dir, "tree.tar")
}

// A stream that has no end is cut off, and nothing is left of it.
func TestStreamLimit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bomb.tar")
	err := Stream{Path: path, Limit: 1 << 20}.Write(t.Context(), func(w io.Writer) error {
		_, err := io.Copy(w, endless{})
		return err
	})
	var large *limit.Error
	if !errors.As(err, &large) || large.Max != 1<<20 {
		t.Errorf("Write() = %v; want that it is too large", err)
	}
	wantOnly(t, dir)
}

func TestStreamInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := Stream{Path: filepath.Join(dir, "tree.tar"), Limit: 1 << 60}.Write(ctx, func(w io.Writer) error {
		cancel()
		_, err := io.Copy(w, endless{})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Write() = %v; want %v", err, context.Canceled)
	}
	wantOnly(t, dir)
}

// A device and a FIFO are written into, by a link, too, and stay what they are.
func TestStreamIntoSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink("fifo", link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, link} {
		read := make(chan string)
		go func() {
			got, err := os.ReadFile(fifo)
			if err != nil {
				t.Error(err)
			}
			read <- string(got)
		}()
		if err := (Stream{Path: path, Limit: 4}).Write(t.Context(), say("tree")); err != nil {
			t.Fatal(err)
		}
		if got := <-read; got != "tree" {
			t.Errorf("through %s came %q; want tree", path, got)
		}
	}
	if err := (Stream{Path: "/dev/null", Limit: 4}).Write(t.Context(), say("tree")); err != nil {
		t.Errorf("Write(/dev/null) = %v", err)
	}
	for _, path := range []string{fifo, "/dev/null"} {
		if info, err := os.Lstat(path); err != nil || info.Mode().IsRegular() {
			t.Errorf("%s is now %v, %v", path, info.Mode(), err)
		}
	}
}

// Neither a FIFO that nobody opens nor one that nobody reads from holds a command up.
func TestStreamInterruptedInFIFO(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Stream{Path: fifo, Limit: 4}).Write(ended, say("tree")); !errors.Is(err, context.Canceled) {
		t.Errorf("Write() without a reader = %v; want %v", err, context.Canceled)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err = Stream{Path: fifo, Limit: 1 << 60}.Write(ctx, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 4096)); err != nil { // it is open
			return err
		}
		go cancel()
		_, err := io.Copy(w, endless{}) // fills the FIFO, and waits
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Write() to a reader that sleeps = %v; want %v", err, context.Canceled)
	}
}
