package initramfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/linux/cmdline"
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
