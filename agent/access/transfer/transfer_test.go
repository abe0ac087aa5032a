package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// newTree is a tree of a directory with as many files.
func newTree(t *testing.T, files int) *tree {
	t.Helper()
	dir := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &tree{root: root}
}

// TestPortions: a directory is listed whole, and each entry once.
func TestPortions(t *testing.T) {
	const files, portion = 25, 10
	lister, err := newTree(t, files).Filelist(sftp.NewRequest("List", "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer lister.(io.Closer).Close()
	seen := map[string]bool{}
	for offset := 0; ; {
		to := make([]fs.FileInfo, portion)
		n, err := lister.ListAt(to, int64(offset))
		for _, info := range to[:n] {
			seen[info.Name()] = true
		}
		if offset += n; errors.Is(err, io.EOF) {
			if len(seen) != files || offset != files {
				t.Errorf("%d entries, %d of them different; want %d", offset, len(seen), files)
			}
			return
		}
		if err != nil || n == 0 {
			t.Fatalf("ListAt(%d) = %d, %v", offset, n, err)
		}
	}
}

// TestOpenDirectories: they count as files do, and give their places back.
func TestOpenDirectories(t *testing.T) {
	tree := newTree(t, 1)
	for range 2 {
		var open []io.Closer
		for i := range maxOpen {
			lister, err := tree.Filelist(sftp.NewRequest("List", "/"))
			if err != nil {
				t.Fatalf("directory %d: %v", i+1, err)
			}
			open = append(open, lister.(io.Closer))
		}
		if _, err := tree.Filelist(sftp.NewRequest("List", "/")); err == nil {
			t.Error("one directory more than may be open was opened")
		}
		if _, err := tree.Fileread(sftp.NewRequest("Get", "/0")); err == nil {
			t.Error("one file more than may be open was opened")
		}
		for _, one := range open {
			one.Close()
		}
	}
}

// TestNoDirectory: what is none takes no place, and nothing waits for a FIFO.
func TestNoDirectory(t *testing.T) {
	tree := newTree(t, 1)
	if err := unix.Mkfifo(filepath.Join(tree.root.Name(), "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/0", "/fifo", "/missing"} {
		if _, err := tree.Filelist(sftp.NewRequest("List", name)); err == nil {
			t.Errorf("%s was listed", name)
		}
	}
	if open := tree.open.Load(); open != 0 {
		t.Errorf("%d are open still", open)
	}
}
