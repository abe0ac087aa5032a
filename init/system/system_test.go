package system

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

func TestEtc(t *testing.T) {
	skeleton, etc := t.TempDir(), filepath.Join(t.TempDir(), "etc")
	unix.Umask(0)
	os.MkdirAll(skeleton+"/ketch/compose", 0o755)
	os.Mkdir(skeleton+"/private", 0o700)
	os.WriteFile(skeleton+"/shadow", []byte("root:*\n"), 0o600)
	os.WriteFile(skeleton+"/passwd", []byte("root\n"), 0o644)
	os.Symlink("../usr/share/zoneinfo/UTC", skeleton+"/localtime")
	os.Symlink("elsewhere", skeleton+"/mtab")
	unix.Umask(0o077) // must not matter
	defer unix.Umask(0o022)
	if err := Etc(skeleton, etc); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		"": 0o755 | os.ModeDir, "ketch/compose": 0o755 | os.ModeDir, "private": 0o700 | os.ModeDir,
		"shadow": 0o600, "passwd": 0o644,
	} {
		info, err := os.Stat(filepath.Join(etc, path))
		if err != nil || info.Mode() != want && path != "" {
			t.Errorf("%q: %v, %v; want %v", path, info, err, want)
		}
	}
	for name, want := range map[string]string{
		"localtime": "../usr/share/zoneinfo/UTC", "mtab": "elsewhere", "resolv.conf": "../run/ketch/resolv.conf",
	} {
		if got, err := os.Readlink(filepath.Join(etc, name)); got != want || err != nil {
			t.Errorf("link %s = %q, %v; want %q", name, got, err, want)
		}
	}
	if text, _ := os.ReadFile(etc + "/passwd"); string(text) != "root\n" {
		t.Errorf("passwd = %q", text)
	}
}

func TestEtcWithoutSkeleton(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc")
	if err := Etc("/no/such/skeleton", etc); err != nil {
		t.Errorf("Etc = %v; want an /etc with links alone", err)
	}
	if _, err := os.Readlink(etc + "/resolv.conf"); err != nil {
		t.Error(err)
	}
}

func TestEtcRefusesDevices(t *testing.T) {
	skeleton := t.TempDir()
	if err := unix.Mkfifo(skeleton+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Etc(skeleton, t.TempDir()); err == nil || !strings.Contains(err.Error(), "fifo") {
		t.Errorf("Etc with a FIFO = %v; want it named", err)
	}
}

func TestReleased(t *testing.T) {
	usr := func(info string) fstest.MapFS {
		return fstest.MapFS{strings.TrimPrefix(layout.ImageInfo, "/usr/"): {Data: []byte(info)}}
	}
	if got, err := Released(usr(`{"name":"qemu","released":"2026-11-22T00:00:00Z","x":1}`)); err != nil || !got.Equal(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("Released = %v, %v", got, err)
	}
	for _, bad := range []string{"", `{"released":"soon"}`} {
		if got, err := Released(usr(bad)); err == nil {
			t.Errorf("Released of %q = %v; want an error", bad, got)
		}
	}
}

// TestFloorClock never sets a clock: the floors lie in the past.
func TestFloorClock(t *testing.T) {
	for _, floor := range []time.Time{{}, time.Unix(0, 0), time.Now().Add(-time.Second)} {
		if moved, err := FloorClock(floor); moved || err != nil {
			t.Errorf("FloorClock(%v) = %v, %v; want the clock left alone", floor, moved, err)
		}
	}
}

func TestMachineID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ketch")
	first, err := MachineID(dir)
	if err != nil || !validID(first) {
		t.Fatalf("MachineID = %q, %v", first, err)
	}
	if again, err := MachineID(dir); again != first || err != nil {
		t.Errorf("MachineID = %q, %v; want %q as before", again, err, first)
	}
	for _, bad := range []string{"", "uninitialized\n", strings.Repeat("0", 32), strings.Repeat("G", 32)} {
		path := dir + "/machine-id"
		os.Remove(path)
		os.WriteFile(path, []byte(bad), 0o644)
		if id, err := MachineID(dir); err != nil || !validID(id) || id == first {
			t.Errorf("MachineID over %q = %q, %v; want a new one", bad, id, err)
		}
	}
	if id, err := MachineID("/proc/no/such"); err == nil {
		t.Errorf("MachineID that cannot be kept = %q; want an error", id)
	}
}

func TestReplaceSurvivesALeftover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	leftover := filepath.Join(filepath.Dir(path), ".x.1z.partial")
	os.WriteFile(leftover, []byte("torn"), 0o600)
	if err := Replace(path, []byte("whole"), 0o444); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "whole" {
		t.Errorf("file = %q; want whole", text)
	}
	if _, err := os.Lstat(leftover); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

func TestHostname(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		os.WriteFile(path, []byte(text), 0o644)
		return path
	}
	for _, test := range []struct {
		given []string
		want  string
	}{
		{[]string{dir + "/none"}, "ketch-0123ab"},
		{[]string{dir + "/none", write("a", "web-1.example\n")}, "web-1.example"},
		{[]string{write("b", "first\nsecond\n")}, "first"},
		{[]string{write("c", "-x\n"), write("d", "a b\n"), write("e", ""), write("f", strings.Repeat("x", 65))}, "ketch-0123ab"},
	} {
		if got, err := Hostname(test.given, "0123abcdef"); got != test.want || err != nil {
			t.Errorf("Hostname(%v) = %q, %v; want %q", test.given, got, err, test.want)
		}
	}
}

// TestOddIdentity: whatever lies where the machine's ID and its name are kept, it has
// both, nothing waits, and nothing is read whole that is large.
func TestOddIdentity(t *testing.T) {
	testkit.EachOdd(t, func(t *testing.T, kind string, make func(path string)) {
		dir := t.TempDir()
		make(dir + "/machine-id")
		make(dir + "/hostname")
		plain := strings.HasPrefix(kind, "file")
		if id, err := MachineID(dir); (err == nil) != plain || plain && !validID(id) {
			t.Errorf("MachineID = %q, %v; want one in the place of a file, an error for all else", id, err)
		}
		name, err := Hostname([]string{dir + "/hostname"}, "0123abcdef")
		if small := kind == "file of no bytes" || kind == "file of zero bytes"; name != "ketch-0123ab" || (err == nil) != small {
			t.Errorf("Hostname = %q, %v; want one of the ID, and an error for what is not read", name, err)
		}
	})
}

// TestDirectoriesThatLeadElsewhere: nothing is made, or opened to all, behind a link.
func TestDirectoriesThatLeadElsewhere(t *testing.T) {
	for _, name := range []string{"lib", "lib/ketch", "lib/containerd", "log", "log/ketch", "tmp"} {
		root, outside := t.TempDir(), t.TempDir()
		os.MkdirAll(filepath.Dir(root+"/var/"+name), 0o755)
		os.Chmod(outside, 0o700)
		if err := os.Symlink(outside, root+"/var/"+name); err != nil {
			t.Fatal(err)
		}
		if err := Directories(root); err == nil {
			t.Errorf("Directories with /var/%s as a link out of /var = nil; want an error", name)
		}
		info, err := os.Stat(outside)
		if entries, _ := os.ReadDir(outside); err != nil || info.Mode().Perm() != 0o700 || len(entries) != 0 {
			t.Errorf("/var/%s: behind the link there is %v now, mode %v, %v", name, entries, info.Mode(), err)
		}
	}
}

func TestDirectories(t *testing.T) {
	root := t.TempDir()
	os.MkdirAll(root+"/var", 0o755)
	for range 2 {
		if err := Directories(root); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range directories() {
		if info, err := os.Stat(root + d.path); err != nil || info.Mode() != d.mode|os.ModeDir {
			t.Errorf("%s: %v, %v; want mode %v", d.path, info.Mode(), err, d.mode)
		}
	}
}

// TestSysctlsHaveReasons: a setting without a reason, or twice, is a mistake.
func TestSysctlsHaveReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sysctls() {
		if s.Why == "" || s.Value == "" && s.Name != "kernel.core_pattern" || seen[s.Name] {
			t.Errorf("sysctl %+v lacks a reason or a value, or is there twice", s)
		}
		seen[s.Name] = true
	}
}

// TestMountsAreClosed: nothing but /dev may hold devices, nothing at all setuid
// programs.
func TestMountsAreClosed(t *testing.T) {
	for _, m := range append(Early(), late()...) {
		if m.Flags&unix.MS_NOSUID == 0 || m.Flags&unix.MS_NODEV == 0 && !strings.HasPrefix(m.Target, "/dev") {
			t.Errorf("mount %+v is open to setuid programs or devices", m)
		}
	}
}
