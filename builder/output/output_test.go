package output

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made/on/the/way/disk.raw")
	f, err := Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("image"); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err != nil {
		t.Errorf("Discard() after Commit() = %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "image" {
		t.Errorf("ReadFile() = %q, %v; want image", got, err)
	}
	wantOnly(t, filepath.Dir(path), "disk.raw")
}

// Whatever writes, it ends with the context.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	f, err := Create(ctx, filepath.Join(dir, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("begun"); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, byWrite := f.Write([]byte("x"))
	_, byWriteAt := f.WriteAt([]byte("x"), 0)
	_, byCopy := io.Copy(f, endless{})
	for what, err := range map[string]error{"Write": byWrite, "WriteAt": byWriteAt, "Copy": byCopy} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v; want %v", what, err, context.Canceled)
		}
	}
	if err := f.Discard(); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, dir)
}

// endless is a file without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.raw")
	first, err := Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), path); err == nil || !strings.Contains(err.Error(), "by someone else") || hint.Of(err) == "" {
		t.Fatalf("Create() = %v; want that someone else writes it, and a hint", err)
	}
	if _, err := first.WriteString("first"); err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	second, err := Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Discard(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Errorf("ReadFile() = %q, %v; want what the first wrote", got, err)
	}
	wantOnly(t, dir, "disk.raw")
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", at("link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ path, want, cure string }{
		{at("file"), "", ""},
		{at("none"), "", ""},
		{at("none/none"), "", ""},
		{dir, "it is a directory", "name a file in it"},
		{at("link"), "it is a symbolic link", "points to file"},
		{at("fifo"), "it is a FIFO", "name of a file"},
		{"/dev/null", "it is a character device", "conv=fsync"},
	}
	for _, test := range tests {
		err := Check(test.path)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("Check(%s) = %v", test.path, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(hint.Of(err), test.cure)):
			t.Errorf("Check(%s) = %v, hint %q; want %q, hint %q", test.path, err, hint.Of(err), test.want, test.cure)
		}
		if _, err := Create(t.Context(), test.path); test.want != "" && err == nil {
			t.Errorf("Create(%s) = nil error", test.path)
		}
	}
}

// The error of a directory that takes no files names what was asked for, not the lock.
func TestCreateRefused(t *testing.T) {
	_, err := Create(t.Context(), "/proc/tree.tar") // refused to root, too
	if err == nil || !strings.HasPrefix(err.Error(), "write /proc/tree.tar: ") {
		t.Errorf("Create(/proc/tree.tar) = %v; want an error that names it", err)
	}
}

func wantOnly(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %v; want %v", dir, got, want)
	}
}
