package watchdog

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInfoSize(t *testing.T) {
	if got := binary.Size(info{}); got != 40 {
		t.Errorf("binary.Size(info) = %d; want 40", got)
	}
}

// TestArm shows the order on files; the ioctls of a real device are for the VM.
func TestArm(t *testing.T) {
	dir := t.TempDir()
	missing, unusable, works := filepath.Join(dir, "0"), dir, filepath.Join(dir, "2")
	if err := os.WriteFile(works, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := arm([]string{missing, unusable, works}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if d.Identity != works {
		t.Errorf("armed %s; want %s", d.Identity, works)
	}
	for range 2 {
		if err := d.Ping(); err != nil {
			t.Error(err)
		}
	}
	if got, _ := os.ReadFile(works); strings.Contains(string(got), "V") || len(got) != 2 {
		t.Errorf("pings wrote %q; want two bytes and never the magic V", got)
	}
	if _, err := arm([]string{missing, unusable}, time.Minute); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("arm without a watchdog = %v; want what was refused", err)
	}
}

func TestPaths(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	sys := fstest.MapFS{
		"class/watchdog/watchdog0/identity": file("Software Watchdog\n"),
		"class/watchdog/watchdog1/identity": file("i6300ESB timer\n"),
		"class/watchdog/watchdog2/timeout":  file("60\n"), // no identity
	}
	want := []string{"/dev/watchdog1", "/dev/watchdog2", "/dev/watchdog0"}
	if diff := cmp.Diff(want, paths(sys)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if got := paths(fstest.MapFS{}); got != nil {
		t.Errorf("paths without watchdogs = %v", got)
	}
}

func TestNoWatchdog(t *testing.T) {
	var d *Device
	if d.Ping() != nil || d.SetTimeout(time.Second) != nil {
		t.Error("a missing watchdog must be harmless")
	}
}
