package shutdown

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/power"
)

func TestRequest(t *testing.T) {
	for _, test := range []struct {
		request Request
		want    string
	}{
		{Request{Action: power.Off, By: "SIGTERM"}, "power-off (asked by SIGTERM)"},
		{Request{Action: power.Reboot, Fatal: errors.New("verity")}, "reboot (after a fatal error)"},
	} {
		if got := test.request.String(); got != test.want {
			t.Errorf("String of %+v = %q; want %q", test.request, got, test.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	for stat, want := range map[string]process{
		"1 (init) S 0 1 1 0 -1 4194560 0":                  {1, "init", 'S', 4194560},
		"2 (kthreadd) S 0 0 0 0 -1 2129984 0":              {2, "kthreadd", 'S', 2129984},
		"77 (a) R (b ) Z) D 1 77 77 0 -1 4194304 100 0 0 ": {77, "a) R (b ) Z", 'D', 4194304},
	} {
		if got, ok := parseStat(stat); got != want || !ok {
			t.Errorf("parseStat(%q) = %+v, %v; want %+v", stat, got, ok, want)
		}
	}
	for _, stat := range []string{"", "1", "1 (init", "1 (init) S", "x (init) S 0 1 1 0 -1 5", "1 (init) S 0 1 1 0 -1 x", ")("} {
		if got, ok := parseStat(stat); ok {
			t.Errorf("parseStat(%q) = %+v; want it refused", stat, got)
		}
	}
}

func TestProcesses(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	proc := fstest.MapFS{
		"1/stat":  file("1 (init) S 0 1 1 0 -1 4194560 0"),
		"2/stat":  file("2 (kthreadd) S 0 0 0 0 -1 2129984 0"),
		"7/stat":  file("7 (gone) Z 1 1 1 0 -1 4194560 0"),
		"9/stat":  file("9 (sleep) S 1 1 1 0 -1 4194560 0"),
		"12/comm": file("has just ended"),
		"stat":    file("cpu 1 2 3"),
	}
	got := processes(proc)
	if len(got) != 1 || got[0].String() != "9 sleep" {
		t.Errorf("processes = %v; want 9 sleep alone", got)
	}
}

func TestStays(t *testing.T) {
	for target, want := range map[string]bool{
		"/": true, "/usr": true, "/run": true, "/proc": true, "/sys/fs/cgroup": true, "/dev/shm": true,
		"/var": false, "/tmp": false, "/run/containerd/x/rootfs": false, "/development": false,
	} {
		if got := stays(target); got != want {
			t.Errorf("stays(%q) = %v; want %v", target, got, want)
		}
	}
}

// TestHolders finds this very process by a file that it holds open.
func TestHolders(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "held"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := os.Readlink("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{pid + " " + string(comm[:len(comm)-1])}
	// A /proc of one process: the machine may run thousands.
	root := t.TempDir()
	if err := os.Symlink("/proc/"+pid, filepath.Join(root, pid)); err != nil {
		t.Fatal(err)
	}
	proc := os.DirFS(root)
	if diff := cmp.Diff(want, holders(proc, dir)); diff != "" {
		t.Errorf("holders of %s (-want +got):\n%s", dir, diff)
	}
	if got := holders(proc, dir+"/hel"); got != nil {
		t.Errorf("holders of a sibling = %v; want none", got)
	}
	// A mapping holds a file without a descriptor.
	f.WriteString("mapped")
	mapping, err := unix.Mmap(int(f.Fd()), 0, 6, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapping)
	f.Close()
	if diff := cmp.Diff(want, holders(proc, dir)); diff != "" {
		t.Errorf("holders of %s by a mapping (-want +got):\n%s", dir, diff)
	}
}

// FuzzParseStat: a process chooses its name, and no name makes it another process,
// or one of the kernel's, which is spared.
func FuzzParseStat(f *testing.F) {
	for _, name := range []string{"sh", "", ") Z 1 (", "a b\n", ") S 1 1 1 1 1 2097152"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := parseStat("42 (" + name + ") S 1 42 42 0 -1 4194560 0 0 0\n")
		if !ok || p.pid != 42 || p.name != name || p.state != 'S' || p.flags != 4194560 {
			t.Errorf("process 42 with the name %q is read as %+v, %v", name, p, ok)
		}
		parseStat(name)
	})
}
