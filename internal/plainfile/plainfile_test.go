package plainfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// odd makes each kind of thing that is no plain file, and files of several sizes, in
// dir. The value is what Read says of it.
func odd(t *testing.T, dir string) map[string]error {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, size := range map[string]int64{"empty": 0, "small": 7, "full": 64, "large": 65, "huge": 2 << 30} {
		if err := errors.Join(os.WriteFile(at(name), nil, 0o600), os.Truncate(at(name), size)); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "secret")
	socket, err := net.Listen("unix", at("socket"))
	if err == nil {
		t.Cleanup(func() { socket.Close() })
	}
	err = errors.Join(err, os.WriteFile(outside, []byte("secret"), 0o600),
		os.Symlink("small", at("link")), os.Symlink(outside, at("link out")), os.Symlink("nowhere", at("dangling")),
		os.Symlink("/dev/zero", at("link to a device")), os.Symlink("loop", at("loop")),
		unix.Mkfifo(at("fifo"), 0o600), os.Mkdir(at("directory"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]error{
		"empty": nil, "small": nil, "full": nil, "large": ErrTooLarge, "huge": ErrTooLarge, "missing": fs.ErrNotExist,
		"link": ErrForeign, "link out": ErrForeign, "dangling": ErrForeign, "link to a device": ErrForeign, "loop": ErrForeign,
		"fifo": ErrForeign, "directory": ErrForeign, "socket": ErrForeign,
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range odd(t, dir) {
		data, err := Read(filepath.Join(dir, name), 64)
		if !errors.Is(err, want) || err != nil && data != nil {
			t.Errorf("Read(%s) = %d bytes, %v; want %v", name, len(data), err, want)
		}
		data, err = ReadIn(root, name, 64)
		if !errors.Is(err, want) || err != nil && data != nil {
			t.Errorf("ReadIn(%s) = %d bytes, %v; want %v", name, len(data), err, want)
		}
		if err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("the error of %s does not name it: %v", name, err)
		}
	}
}

// A device needs no file system that lets one be made: /dev has some.
func TestReadOfADevice(t *testing.T) {
	for _, path := range []string{"/dev/zero", "/dev/null", "/dev/tty"} {
		if data, err := Read(path, 64); !errors.Is(err, ErrForeign) {
			t.Errorf("Read(%s) = %d bytes, %v; want %v", path, len(data), err, ErrForeign)
		}
	}
}

func TestOpenToWrite(t *testing.T) {
	dir := t.TempDir()
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	for name, want := range odd(t, dir) {
		if errors.Is(want, ErrTooLarge) || errors.Is(want, fs.ErrNotExist) {
			want = nil // sizes are for readers; and it is made
		}
		file, err := Open(filepath.Join(dir, name), flags, 0o600)
		if !errors.Is(err, want) {
			t.Errorf("Open(%s) = %v; want %v", name, err, want)
		}
		if err == nil {
			file.Close()
		}
	}
}

func TestInStaysInside(t *testing.T) {
	dir := t.TempDir()
	odd(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "inner"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"../small", "/etc/passwd", "../inner/../small"} {
		if data, err := ReadIn(root, name, 64); err == nil {
			t.Errorf("ReadIn(%q) = %q; want an error", name, data)
		}
	}
}

// TestReadBelow: a link leads as far as it would with dir as the root directory.
func TestReadBelow(t *testing.T) {
	dir := t.TempDir()
	want := odd(t, dir)
	want["link"], want["link out"], want["dangling"] = nil, fs.ErrNotExist, fs.ErrNotExist
	want["link to a device"], want["loop"] = fs.ErrNotExist, unix.ELOOP
	want["../small"], want["/small"], want["link from the root"], want["link up"] = nil, nil, nil, nil
	if err := errors.Join(os.Symlink("/small", filepath.Join(dir, "link from the root")), os.Symlink("../../small", filepath.Join(dir, "link up"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range want {
		data, err := ReadBelow(dir, name, 64)
		if !errors.Is(err, want) || err != nil && data != nil {
			t.Errorf("ReadBelow(%s) = %d bytes, %v; want %v", name, len(data), err, want)
		}
	}
	if _, err := ReadBelow(dir+"/none", "small", 64); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadBelow in no directory = %v", err)
	}
	if _, err := ReadBelow("/dev", "null", 64); !errors.Is(err, ErrForeign) {
		t.Errorf("ReadBelow(/dev, null) = %v; want %v", err, ErrForeign)
	}
}

func TestName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "a.b": true, "...": true, ".a": true, "é": true, "a b": true, strings.Repeat("x", 255): true,
		"": false, ".": false, "..": false, "/": false, "a/b": false, "../a": false, "a\x00b": false, "a\nb": false,
		"a\u009bb": false, "a\u202eb": false, "a\xffb": false, strings.Repeat("x", 256): false,
	} {
		if got, err := Name(name); (err == nil) != ok || ok && got != name {
			t.Errorf("Name(%.40q) = %q, %v; want ok = %v", name, got, err, ok)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("a")
	f.Add("../../../run/owned")
	f.Fuzz(func(t *testing.T, name string) {
		got, err := Name(name)
		if err != nil {
			return
		}
		if got != name || filepath.Base(filepath.Join("/dir", got)) != name || filepath.Dir(filepath.Join("/dir", got)) != "/dir" || strings.ContainsAny(got, "/\x00") {
			t.Errorf("Name(%q) = %q: it does not stay in its directory", name, got)
		}
	})
}
