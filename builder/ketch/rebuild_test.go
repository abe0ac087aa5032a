package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/cli"
)

// An image that somebody has written to is built again, though its size, its
// time and all its inputs are as they were.
func TestBuildReplacesAChangedImage(t *testing.T) {
	disk, _ := smallImage(t)
	dir := filepath.Dir(disk)
	build := func() string {
		t.Helper()
		var out bytes.Buffer
		args := []string{"build", filepath.Join(dir, "image.yaml"), "-o", disk, "--keys", filepath.Join(dir, "keys")}
		if status := cli.Run(t.Context(), program(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: t.Output()}); status != 0 {
			t.Fatalf("ketch %q: status %d", args, status)
		}
		return out.String()
	}
	if out := build(); !strings.Contains(out, "up to date") {
		t.Errorf("nothing has changed: %s", out)
	}
	info, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const at = 1 << 30 // in the usr partition
	if _, err := f.WriteAt([]byte("evil"), at); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(disk, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	build()
	again, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got := make([]byte, 4)
	if _, err := again.ReadAt(got, at); err != nil || string(got) == "evil" {
		t.Errorf("after another build byte %d reads %q, %v", at, got, err)
	}
}
