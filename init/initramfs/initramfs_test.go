package initramfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/linux/cmdline"
	"github.com/ketch-os/ketch/update/slot"
)

const hash = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func TestTake(t *testing.T) {
	s := &Stage{Machine: machine.New()}
	if err := s.take(cmdline.Parse("console=ttyS0 usrhash=" + hash + " ketch.version=1.2 ketch.dev=1")); err != nil {
		t.Fatal(err)
	}
	if m := s.Machine; m.RootHash != hash || m.Version != "1.2" || !m.Development || s.root[31] != 0x1f || m.Timeline.Boot().Version != "1.2" {
		t.Errorf("took %+v", m.Facts)
	}
}

func TestTakeRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"quiet":                                "no usrhash",
		"usrhash=abc":                          "root hash",
		"usrhash=" + hash + " usrhash=" + hash: "occurs twice",
		"usrhash=" + hash + " ketch.version=1 ketch.version=2": "occurs twice",
		"usrhash=" + hash + " ketch.dev=1 ketch.dev=0":         "occurs twice",
	} {
		err := (&Stage{Machine: machine.New()}).take(cmdline.Parse(line))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("take(%q) = %v; want %s", line, err, want)
		}
	}
}

// TestMistaken: without the boot loader's word one disk is the machine's, of several
// none is; with it, the one that it names.
func TestMistaken(t *testing.T) {
	known := slot.Origin{ESP: gpt.MustParseGUID("11111111-2222-3333-4444-555555555555")}
	for _, test := range []struct {
		found  slot.Slot
		origin slot.Origin
		want   bool
	}{
		{slot.Slot{Booted: true, Copies: 3}, known, false},
		{slot.Slot{}, slot.Origin{}, false},
		{slot.Slot{Copies: 1}, slot.Origin{}, true},
		{slot.Slot{}, known, true},
	} {
		if err := mistaken(test.found, test.origin); (err != nil) != test.want {
			t.Errorf("mistaken(%+v, %+v) = %v; want an error: %v", test.found, test.origin, err, test.want)
		}
	}
}

func TestExtra(t *testing.T) {
	if got := extra(fstest.MapFS{"init": {Data: []byte("x")}}); got != "" {
		t.Errorf("extra of an initramfs with PID 1 alone = %q; want nothing", got)
	}
	got := extra(fstest.MapFS{".extra/sysext/x.raw": {Data: make([]byte, 3<<10)}, ".extra/global_credentials/y.cred": {Data: make([]byte, 1<<10)}})
	if !strings.Contains(got, "(2, of 4 KiB, ") {
		t.Errorf("extra = %q; want two files of 4 KiB", got)
	}
}

func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"init", "dev/console", "a/b/c"} {
		os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755)
		os.WriteFile(filepath.Join(dir, path), nil, 0o644)
	}
	if err := empty(dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v; want nothing", entries, err)
	}
}
