package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/testkit"
)

// small is a file system of its own, with as much room as options give it.
func small(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil { // fails while a file of it is open
			t.Error(err)
		}
	})
	return dir
}

// filesIn lists the files below a directory.
func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestNothingLeftToTake: where bytes, inodes or descriptors run out, each command
// says so, and of what; it leaves no file.
func TestNothingLeftToTake(t *testing.T) {
	if !testkit.InNamespaces(t, unix.CLONE_NEWNS) {
		return
	}
	disk, _ := smallImage(t)
	built := filepath.Dir(disk)
	compressed := filepath.Join(built, "disk.raw.zst")
	ketch := func(args ...string) (status int, said string) {
		var out bytes.Buffer
		status = cli.Run(t.Context(), program(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		return status, out.String()
	}
	if status, said := ketch("convert", disk, "-o", compressed); status != 0 {
		t.Fatalf("convert: %s", said)
	}
	definition, keys := filepath.Join(built, "image.yaml"), filepath.Join(built, "keys")
	commands := map[string]func(dir string) []string{
		"build": func(dir string) []string {
			return []string{"build", definition, "--keys", keys, "-o", dir + "/disk.raw"}
		},
		"convert": func(dir string) []string { return []string{"convert", disk, "-o", dir + "/disk.qcow2"} },
		"flatten": func(dir string) []string {
			return []string{"flatten", "oci:" + built + "/images:os", "-o", dir + "/tree.tar"}
		},
		"sbom": func(string) []string { return []string{"sbom", compressed} }, // unpacked in TMPDIR
		"keys": func(dir string) []string { return []string{"keys", "new", dir + "/keys"} },
	}
	for name, command := range commands {
		for _, options := range []string{"size=16k", "nr_inodes=2", "nr_inodes=1"} {
			if name == "sbom" && options == "nr_inodes=2" {
				continue // one file is all that it needs
			}
			t.Run(name+", "+options, func(t *testing.T) {
				dir := small(t, options)
				t.Setenv("TMPDIR", dir)
				status, said := ketch(command(dir)...)
				if status != 1 || !strings.Contains(said, "no space left on device") || !strings.Contains(said, "hint: no room is left there") {
					t.Errorf("status %d: %s", status, said)
				}
				if left := filesIn(t, dir); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			})
		}
		t.Run(name+", no descriptors", func(t *testing.T) {
			dir := small(t, "size=64m")
			t.Setenv("TMPDIR", dir)
			restore := lastDescriptor(t)
			status, said := ketch(command(dir)...)
			restore()
			if status != 1 || !strings.Contains(said, "too many open files") || !strings.Contains(said, "hint: too many files are open in this program") {
				t.Errorf("status %d: %s", status, said)
			}
			if left := filesIn(t, dir); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// lastDescriptor keeps this process from opening any further file.
func lastDescriptor(t *testing.T) (restore func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull) // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	lower := limit
	lower.Cur = uint64(null.Fd())
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(fmt.Errorf("setrlimit: %w", err))
		}
	}
}
