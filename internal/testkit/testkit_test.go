package testkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// verdict is a testing.TB that keeps how a test ended.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (v *verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) {
	v.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// ends runs a test to its end.
func ends(test func(testing.TB)) (v verdict, finished bool) {
	done := make(chan bool)
	go func() {
		defer close(done)
		test(&v)
		finished = true
	}()
	<-done
	return v, finished
}

// TestNeed: what is missing skips on a laptop and fails where CI=true, whatever it is.
func TestNeed(t *testing.T) {
	lacks := map[string]func(testing.TB){
		"needs a clock: it stands still":                                    func(t testing.TB) { Need(t, "a clock", errors.New("it stands still")) },
		"needs no-such-tool: it is not installed: run scripts/setup":        func(t testing.TB) { Tool(t, "no-such-tool") },
		"needs /usr/share/no-such-file: it is not there: run scripts/setup": func(t testing.TB) { File(t, "/usr/share/no-such-file") },
	}
	if uid := os.Getuid(); uid != 0 {
		lacks[fmt.Sprintf("needs root to own a device: this is user %d", uid)] = func(t testing.TB) { Root(t, "to own a device") }
	}
	for want, test := range lacks {
		t.Setenv("CI", "")
		if got, finished := ends(test); got.skipped != want || got.failed != "" || finished {
			t.Errorf("on a laptop: skipped %q, failed %q, finished %v; want it skipped: %q", got.skipped, got.failed, finished, want)
		}
		t.Setenv("CI", "true")
		if got, finished := ends(test); got.failed != want || got.skipped != "" || finished {
			t.Errorf("where CI=true: skipped %q, failed %q, finished %v; want it failed: %q", got.skipped, got.failed, finished, want)
		}
	}
	if got, finished := ends(func(t testing.TB) { Need(t, "nothing", nil) }); !finished {
		t.Errorf("Need of what is there: skipped %q, failed %q", got.skipped, got.failed)
	}
}

func TestCgroup2(t *testing.T) {
	table := filepath.Join(t.TempDir(), "mounts")
	for text, want := range map[string]string{
		"proc /proc proc rw 0 0\nnone /sys/fs/cgroup/unified cgroup2 rw 0 0\n": "/sys/fs/cgroup/unified",
		"cgroup2 /sys/fs/cgroup/memory cgroup rw 0 0\n":                        "",
		"": "",
	} {
		if err := os.WriteFile(table, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := cgroup2(table); got != want || (err == nil) != (want != "") {
			t.Errorf("cgroup2(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestInNamespaces(t *testing.T) {
	t.Run("a name (with marks)", func(t *testing.T) {
		if !InNamespaces(t, unix.CLONE_NEWPID|unix.CLONE_NEWNS, "WORD=said") {
			return
		}
		self, err := os.Readlink("/proc/self")
		if os.Getpid() != 1 || os.Getuid() != 0 || self != "1" || os.Getenv("WORD") != "said" {
			t.Errorf("inside: process %d of user %d, /proc/self %s, %v, WORD %q", os.Getpid(), os.Getuid(), self, err, os.Getenv("WORD"))
		}
	})
}

func TestVerdictInside(t *testing.T) {
	ended := errors.New("exit status 1")
	for _, test := range []struct {
		out     string
		err     error
		skipped bool
		want    string
	}{
		{"=== RUN   TestX\n--- PASS: TestX (0.00s)\nPASS\n", nil, false, "<nil>"},
		{"=== RUN   TestX\n--- FAIL: TestX (0.00s)\nFAIL\n", ended, false, "exit status 1"},
		{"--- SKIP: TestX (0.00s)\n    needs root\nPASS\n", nil, true, "<nil>"},
		{"--- SKIP: TestX (0.00s)\nWARNING: DATA RACE\n", ended, false, "exit status 1"},
		{"testing: warning: no tests to run\nPASS\n", nil, false, "the test did not run"},
		{"--- PASS: TestXY (0.00s)\nPASS\n", nil, false, "the test did not run"},
	} {
		if skipped, err := verdictInside("TestX", test.out, test.err); skipped != test.skipped || fmt.Sprint(err) != test.want {
			t.Errorf("verdictInside(%q) = %v, %v; want %v, %s", test.out, skipped, err, test.skipped, test.want)
		}
	}
}
