package slot

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
)

// espDir is a directory like an ESP with some entries.
func espDir(t *testing.T, entries ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, layout.ESPEntries), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range entries {
		if err := os.WriteFile(filepath.Join(dir, layout.ESPEntries, name), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAdd(t *testing.T) {
	dir := espDir(t, "ketch_1.0.efi")
	name := entry.Name{ID: "ketch_2.0", Counted: true, Left: 3}
	if err := os.WriteFile(filepath.Join(dir, staged), []byte("cut short"), 0o600); err != nil { // by a power cut
		t.Fatal(err)
	}
	if err := add(dir, name, strings.NewReader("kernel"), sha256.Sum256([]byte("kernel"))); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ketch_1.0.efi", "ketch_2.0+3-0.efi"}, list(t, filepath.Join(dir, layout.ESPEntries))); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if got, err := os.ReadFile(filepath.Join(dir, layout.ESPEntries, name.File())); string(got) != "kernel" {
		t.Errorf("the new entry has %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"EFI"}, list(t, dir)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

// Whatever goes wrong, the entries are as they were, and nothing is left beside them.
func TestAddRefused(t *testing.T) {
	new := entry.Name{ID: "ketch_2.0", Counted: true, Left: 3}
	sum := sha256.Sum256([]byte("kernel"))
	for name, test := range map[string]struct {
		name entry.Name
		r    io.Reader
		sum  [sha256.Size]byte
		want error  // or
		text string // in the error
	}{
		"another content": {new, strings.NewReader("colonel"), sum, nil, "SHA-256 of what was written"},
		"cut short":       {new, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("kernel"))), sum, iotest.ErrTimeout, ""},
		"there already":   {entry.Name{ID: "ketch_1.0"}, strings.NewReader("kernel"), sum, fs.ErrExist, ""},
		"no name":         {entry.Name{}, strings.NewReader("kernel"), sum, nil, "has no ID"},
		"a path":          {entry.Name{ID: "../x"}, strings.NewReader("kernel"), sum, nil, "starts with a dot"},
	} {
		dir := espDir(t, "ketch_1.0.efi")
		err := add(dir, test.name, test.r, test.sum)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: add = %v; want %v %s", name, err, test.want, test.text)
		}
		if diff := cmp.Diff([]string{"EFI", "ketch_1.0.efi"}, append(list(t, dir), list(t, filepath.Join(dir, layout.ESPEntries))...)); diff != "" {
			t.Errorf("%s: files (-want +got):\n%s", name, diff)
		}
		if old, err := os.ReadFile(filepath.Join(dir, layout.ESPEntries, "ketch_1.0.efi")); string(old) != "old" {
			t.Errorf("%s: the old entry has %q, %v", name, old, err)
		}
	}
	if err := add(t.TempDir(), new, strings.NewReader("kernel"), sum); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("add where no entries are = %v; want fs.ErrNotExist", err)
	}
}

func TestRemove(t *testing.T) {
	dir := filepath.Join(espDir(t, "ketch_1.0.efi", "ketch_1.0+2-1.efi", "Ketch_1.0+1-2.EFI", "ketch_1.0.1.efi", "ketch_2.0+3-0.efi", "shell.bin"), layout.ESPEntries)
	for range 2 { // the second finds none
		if err := remove(dir, "ketch_1.0"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"Ketch_1.0+1-2.EFI", "ketch_1.0.1.efi", "ketch_2.0+3-0.efi", "shell.bin"}, list(t, dir)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if err := remove(filepath.Join(dir, "none"), "ketch_1.0"); err == nil {
		t.Error("remove without the directory = nil; want an error")
	}
}
