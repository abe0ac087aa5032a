package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/testkit"
)

func writeRun(t *testing.T, dir, name string, run pid1.Run) string {
	t.Helper()
	text, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadPrevious(t *testing.T) {
	dir := t.TempDir()
	dump := filepath.Join(dir, "dmesg.txt")
	os.WriteFile(dump, []byte("first\n"+strings.Repeat("x\n", maxLastWords)+"last words\n"), 0o600)
	previous := writeRun(t, dir, "previous.json", pid1.Run{Version: "1.0"})
	current := writeRun(t, dir, "current.json", pid1.Run{Crashes: []pid1.Crash{{Kind: "Panic", Time: time.Now(), Reason: "PID 1 panic: x", Path: dump}}})

	p, err := readPrevious(previous, current, dir)
	if err != nil || p.End != pid1.EndPanic || p.Reason != "PID 1 panic: x" || p.Run.Version != "1.0" {
		t.Fatalf("readPrevious = %+v, %v; want a panic of version 1.0", p, err)
	}
	if len(p.LastWords) > maxLastWords || !strings.HasPrefix(p.LastWords, "x\n") || !strings.HasSuffix(p.LastWords, "last words\n") {
		t.Errorf("last words are %d bytes that end with %q; want whole lines, up to the last", len(p.LastWords), p.LastWords[max(0, len(p.LastWords)-20):])
	}
	os.Remove(dump)
	if p, err := readPrevious(previous, current, dir); err == nil {
		t.Errorf("readPrevious without the dump = %+v; want an error", p)
	}
	os.WriteFile(previous, []byte(`{"ver`), 0o644)
	os.Remove(current)
	if p, err := readPrevious(previous, current, dir); err != nil || p.End != pid1.EndNone || p.Run != nil {
		t.Errorf("readPrevious of a spoilt record = %+v, %v; want none", p, err)
	}
}

// TestOddRecords: records and dumps lie on a disk that others may have written to.
func TestOddRecords(t *testing.T) {
	testkit.EachOdd(t, func(t *testing.T, kind string, make func(path string)) {
		dir := t.TempDir()
		make(dir + "/odd/run.json")
		make(dir + "/odd/dmesg.txt")
		current := writeRun(t, dir, "current.json", pid1.Run{Crashes: []pid1.Crash{{Kind: "Panic", Time: time.Now(), Path: dir + "/odd/dmesg.txt"}}})
		plain := strings.HasPrefix(kind, "file")
		p, err := readPrevious(dir+"/odd/run.json", dir+"/none", dir)
		if (err == nil) != plain || plain && p.Run != nil {
			t.Errorf("readPrevious of an odd record = %+v, %v; want none", p, err)
		}
		small := plain && !strings.HasSuffix(kind, "iB")
		if p, err := readPrevious(dir+"/none", current, dir); (err == nil) != small {
			t.Errorf("readPrevious of an odd dump = %+v, %v; want an error unless it is a small file", p, err)
		}
	})
}

// TestDumpOfAnotherDirectory: a record names a file, which must be a dump.
func TestDumpOfAnotherDirectory(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600)
	os.Mkdir(filepath.Join(dir, "crash"), 0o700)
	for _, path := range []string{dir + "/secret", dir + "/crash/../secret", "/etc/hostname", "secret", ""} {
		current := writeRun(t, dir, "current.json", pid1.Run{Crashes: []pid1.Crash{{Kind: "Panic", Time: time.Now(), Path: path}}})
		if p, err := readPrevious(dir+"/none", current, dir+"/crash"); err == nil {
			t.Errorf("the last words in %q are %q; want an error", path, p.LastWords)
		}
	}
}
