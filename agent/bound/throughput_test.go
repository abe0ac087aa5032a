package bound

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWholeDisk(t *testing.T) {
	sys := t.TempDir()
	put(t, sys, map[string]string{
		"devices/block/vda/dev": "254:0\n", "devices/block/vda/vda8/dev": "254:8\n", "devices/block/vda/vda8/partition": "8\n",
	})
	for link, target := range map[string]string{"254:0": "devices/block/vda", "254:8": "devices/block/vda/vda8"} {
		if err := os.Symlink(target, filepath.Join(sys, link)); err != nil {
			t.Fatal(err)
		}
		if got, err := wholeDisk(filepath.Join(sys, link)); got != "254:0" || err != nil {
			t.Errorf("wholeDisk(%s) = %q, %v; want 254:0", link, got, err)
		}
	}
	if got, err := wholeDisk(filepath.Join(sys, "none")); err == nil {
		t.Errorf("wholeDisk of none = %q; want an error", got)
	}
}

func TestShareDisk(t *testing.T) {
	root := t.TempDir()
	if err := ShareDisk(root, "/ketch/workloads", "/proc"); err != nil {
		t.Errorf("ShareDisk of what is in memory = %v; want nothing done", err)
	}
	if err := ShareDisk(root, "/ketch/workloads", filepath.Join(root, "none")); err == nil {
		t.Error("ShareDisk of no file = nil; want an error")
	}
}
