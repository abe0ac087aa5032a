package testkit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// odd are what may lie under a name where a program expects a small file of its
// own. A directory has something in it, so that nothing is renamed over it.
var odd = map[string]func(path string) error{
	"FIFO":               func(path string) error { return unix.Mkfifo(path, 0o600) },
	"directory":          func(path string) error { return os.MkdirAll(filepath.Join(path, "inside"), 0o700) },
	"dangling link":      func(path string) error { return os.Symlink("nowhere", path) },
	"link in a circle":   func(path string) error { return os.Symlink(filepath.Base(path), path) },
	"link to a device":   func(path string) error { return os.Symlink("/dev/zero", path) },
	"link to a file":     func(path string) error { return os.Symlink("/etc/hostname", path) },
	"socket":             socket,
	"file of 2 GiB":      func(path string) error { return file(path, 2<<30) },
	"file of 2 MiB":      func(path string) error { return file(path, 2<<20) },
	"file of no bytes":   func(path string) error { return file(path, 0) },
	"file of zero bytes": func(path string) error { return file(path, 100) },
}

// EachOdd runs a test for each odd thing that may lie under a name: make puts it
// there.
func EachOdd(t *testing.T, do func(t *testing.T, kind string, make func(path string))) {
	t.Helper()
	for kind, lay := range odd {
		t.Run(kind, func(t *testing.T) {
			do(t, kind, func(path string) {
				t.Helper()
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), lay(path)); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func file(path string, size int64) error {
	return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size))
}

// socket is made by mknod(2), which takes a longer path than bind(2).
func socket(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) }
