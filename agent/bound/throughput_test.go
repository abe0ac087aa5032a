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

// TestShareDisk: every group but that of workloads is protected. /proc is on no disk.
func TestShareDisk(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"init/io.latency": "", "services/io.latency": "", "ketch/io.latency": ""})
	if err := ShareDisk(root, "/ketch/workloads", "/proc"); err != nil {
		t.Errorf("ShareDisk of what is in memory = %v; want nothing done", err)
	}
	if err := ShareDisk(root, "/ketch/workloads", filepath.Join(root, "none")); err == nil {
		t.Error("ShareDisk of no file = nil; want an error")
	}
	if err := protect(root, "/ketch/workloads", "254:0"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"init": "254:0 target=25000", "services": "254:0 target=25000", "ketch": ""} {
		if got, err := os.ReadFile(filepath.Join(root, name, "io.latency")); string(got) != want {
			t.Errorf("io.latency of %s = %q, %v; want %q", name, got, err, want)
		}
	}
}
