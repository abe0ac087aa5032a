package atomicfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"first, the longer one", "second"} {
		if err := WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		wantContent(t, path, text)
	}
	wantNames(t, dir, "state")
}

// A file is not to be seen before it is whole.
func TestNothingBeforeCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	write(t, path, "old")
	f := create(t, path)
	if _, err := f.WriteString("ne"); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "old")
	if err := f.Discard(); err != nil {
		t.Errorf("Discard() = %v", err)
	}
	wantContent(t, path, "old")
	wantNames(t, dir, "image")
	if err := f.Discard(); err != nil {
		t.Errorf("a second Discard() = %v", err)
	}
}

func TestDiscardAfterCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	f := create(t, path)
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err != nil {
		t.Errorf("Discard() after Commit() = %v", err)
	}
	wantContent(t, path, "")
}

// Two writers never share a stand-in, whichever of them goes first.
func TestWritersDoNotMix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tree.tar")
	texts := []string{strings.Repeat("a", 1<<16), strings.Repeat("b", 1<<15)}
	var group sync.WaitGroup
	for _, text := range texts {
		for range 20 {
			group.Go(func() {
				if err := WriteFile(path, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != texts[0] && string(got) != texts[1] {
					t.Errorf("ReadFile() = %d bytes, %v; want the whole content of one writer", len(got), err)
				}
			})
		}
	}
	group.Wait()
	wantNames(t, dir, "tree.tar")
}

// The finished file of one writer is not disturbed by another that fails.
func TestFailureLeavesTheOthersFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	slow, fast := create(t, path), create(t, path)
	if _, err := fast.WriteString("whole"); err != nil {
		t.Fatal(err)
	}
	if err := fast.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "whole")
	if err := slow.Discard(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "whole")
	wantNames(t, dir, "image")
}

func TestUmask(t *testing.T) {
	dir := t.TempDir()
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	path := filepath.Join(dir, "bill")
	write(t, path, "text")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("Stat() = %v, %v; want mode 0600: 0644 under umask 077", info.Mode(), err)
	}
}

func TestSpecialFilesStay(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	target := at("target")
	write(t, target, "kept")
	listener, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, err := range []error{
		unix.Mkfifo(at("FIFO"), 0o600), os.Mkdir(at("directory"), 0o700),
		os.Symlink(target, at("symbolic link")), os.Symlink("nowhere", at("dangling link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ path, kind string }{
		{at("FIFO"), "FIFO"}, {at("directory"), "directory"}, {at("symbolic link"), "symbolic link"},
		{at("dangling link"), "symbolic link"}, {at("socket"), "socket"}, {"/dev/null", "character device"},
	}
	for _, test := range tests {
		err := WriteFile(test.path, nil, 0o600)
		var got *NotReplaceableError
		if !errors.As(err, &got) || Kind(got.Mode) != test.kind {
			t.Errorf("WriteFile(%s) = %v; want: it is a %s", test.path, err, test.kind)
		}
	}
	wantContent(t, target, "kept")
	if kind := Kind(fs.ModeDevice); kind != "block device" {
		t.Errorf("Kind() = %q; want block device", kind)
	}
}

// What became a link while the file was written stays, too.
func TestLinkLaidMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "image"), filepath.Join(dir, "target")
	write(t, target, "kept")
	f := create(t, path)
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("Commit() replaced a link")
	}
	wantContent(t, target, "kept")
	wantNames(t, dir, "image", "target")
}

// A writer that was killed leaves its stand-in; the next one removes it, and
// nothing else.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "image")
	living, killed := create(t, path), create(t, path)
	killed.Close() // the kernel does so for a process that was killed
	others := []string{"image.partial", ".image.notes.txt.partial", ".image.zz zz.partial", ".image2.1z.partial"}
	for _, name := range others {
		write(t, filepath.Join(dir, name), "somebody's")
	}
	link := filepath.Join(dir, ".image.1z.partial")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	write(t, path, "whole")
	if _, err := os.Lstat(killed.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat(%s) = %v; want it gone", killed.Name(), err)
	}
	wantNames(t, dir, append(others, "image", filepath.Base(living.Name()), filepath.Base(link))...)
	if err := living.Commit(); err != nil {
		t.Errorf("Commit() of the other writer = %v", err)
	}
}

// A file may be named after what was written into it, in another directory.
func TestNamedLater(t *testing.T) {
	dir, blobs := t.TempDir(), t.TempDir()
	for _, name := range []string{"one", "two"} {
		f, err := CreateIn(dir, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(name); err != nil {
			t.Fatal(err)
		}
		if err := f.CommitAs(filepath.Join(blobs, name)); err != nil {
			t.Fatal(err)
		}
		wantContent(t, filepath.Join(blobs, name), name)
	}
	wantNames(t, dir)
	wantNames(t, blobs, "one", "two")
}

func TestMove(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "made"), "program")
	if err := Move(filepath.Join(dir, "made"), filepath.Join(to, "kept")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(to, "kept"), "program")
	wantNames(t, dir)
	if err := Move(filepath.Join(to, "kept"), dir); err == nil {
		t.Error("Move() over a directory = nil")
	}
	wantContent(t, filepath.Join(to, "kept"), "program")
}

func TestLongName(t *testing.T) {
	write(t, filepath.Join(t.TempDir(), strings.Repeat("n", 255)), "text")
}

func TestNoDirectory(t *testing.T) {
	if err := WriteFile(filepath.Join(t.TempDir(), "missing/file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile() = %v; want %v", err, fs.ErrNotExist)
	}
}

func create(t *testing.T, path string) *File {
	t.Helper()
	f, err := Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Discard() })
	return f
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("ReadFile(%s) = %q, %v; want %q", path, got, err, want)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, e := range entries {
		got[e.Name()] = true
	}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%s: %s is missing", dir, name)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s: %s is left", dir, name)
	}
}
