package input

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(at("file"), []byte("x"), 0o600), os.Symlink("file", at("link")), unix.Mkfifo(at("fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		at("file"):      "",
		at("link"):      "",
		at("none"):      "open " + at("none") + ": no such file or directory",
		at("file/none"): "open " + at("file/none") + ": not a directory",
		dir:             "open " + dir + ": it is a directory, not a file",
		at("fifo"):      "open " + at("fifo") + ": it is a FIFO, not a file", // and it does not wait
		"/dev/null":     "open /dev/null: it is a character device, not a file",
	} {
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		if got := message(err); got != want {
			t.Errorf("Open(%s) = %q; want %q", path, got, want)
		}
	}
	if _, err := Open(at("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing = %v; want that it does not exist", err)
	}
}

func TestExplain(t *testing.T) {
	advised := hint.Add(fs.ErrNotExist, "own")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"missing", fs.ErrNotExist, "an image"}, {"a directory", &NotDiskError{"x", fs.ModeDir}, "an image"},
		{"forbidden", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, ""}, {"one that knows better", advised, "own"},
	} {
		if got := hint.Of(Explain(test.err, "an image")); got != test.want {
			t.Errorf("%s: hint %q; want %q", test.name, got, test.want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
