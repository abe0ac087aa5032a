package bootlog

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/linux/pstore"
)

func read(t *testing.T, path string) pid1.Run {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	run, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestNote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "boot")
	for _, step := range []struct {
		id, request string
	}{{"a", "begun"}, {"a", "reboot"}, {"b", "begun"}, {"c", "power-off"}} {
		err := note(dir, pid1.Run{BootID: step.id}, func(r *pid1.Run) { r.Request += step.request })
		if err != nil {
			t.Fatal(err)
		}
		if step.id == "b" {
			if got := read(t, filepath.Join(dir, previous())); got.BootID != "a" || got.Request != "begunreboot" {
				t.Errorf("b's previous account is %+v; want a's, with both notes", got)
			}
		}
	}
	if got := read(t, filepath.Join(dir, current())); got.BootID != "c" || got.Request != "power-off" {
		t.Errorf("current account = %+v; want c's", got)
	}
	if got := read(t, filepath.Join(dir, previous())); got.BootID != "b" {
		t.Errorf("c's previous account is %+v; want b's", got)
	}
}

// TestNoteOverRubbish: a file that a broken disk has spoilt must not keep the
// next boots from being recorded.
func TestNoteOverRubbish(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, current()), []byte(`{"bootID":"a`), 0o644)
	if err := note(dir, pid1.Run{BootID: "a"}, func(*pid1.Run) {}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, current())); got.BootID != "a" {
		t.Errorf("current account = %+v; want a fresh one", got)
	}
}

// TestOddAccounts: an account that cannot be read costs this boot its own, or is
// moved aside; it never costs the boot.
func TestOddAccounts(t *testing.T) {
	testkit.EachOdd(t, func(t *testing.T, kind string, make func(path string)) {
		dir := t.TempDir()
		make(filepath.Join(dir, current()))
		err := note(dir, pid1.Run{BootID: "a"}, func(*pid1.Run) {})
		if plain := strings.HasPrefix(kind, "file"); (err == nil) != plain {
			t.Errorf("note = %v; want it noted in the place of a file, an error for all else", err)
		}
		if err == nil && read(t, filepath.Join(dir, current())).BootID != "a" {
			t.Error("the account is not this boot's")
		}
		elsewhere := filepath.Join(t.TempDir(), "boot")
		make(elsewhere)
		if err := note(elsewhere, pid1.Run{BootID: "a"}, func(*pid1.Run) {}); (err == nil) != (kind == "directory") {
			t.Errorf("note in a directory that is an odd thing = %v", err)
		}
	})
}

// TestOddCrashDirectory: what cannot be kept stays in pstore, and nothing is
// written elsewhere.
func TestOddCrashDirectory(t *testing.T) {
	testkit.EachOdd(t, func(t *testing.T, kind string, make func(path string)) {
		from, to := t.TempDir(), filepath.Join(t.TempDir(), "crash")
		dump(t, from, 1_760_000_000, "Panic", "", "x\n")
		make(to)
		if crashes, err := Collect(from, to); (err == nil) != (kind == "directory") {
			t.Errorf("Collect = %v, %v; want an error unless there is a directory", crashes, err)
		}
		from, to = t.TempDir(), filepath.Join(t.TempDir(), "crash")
		dump(t, from, 1_760_000_000, "Panic", "", "x\n")
		make(filepath.Join(to, "20251009T085320Z-panic-1", Dump))
		if crashes, err := Collect(from, to); (err == nil) != strings.HasPrefix(kind, "file") {
			t.Errorf("Collect over an odd dump = %v, %v; want an error unless there is a file", crashes, err)
		}
		left, _ := os.ReadDir(from)
		if kept := !strings.HasPrefix(kind, "file"); (len(left) > 0) != kept {
			t.Errorf("%d records are left in pstore", len(left))
		}
	})
}

// TestRecordThatLeadsElsewhere: what a record in the firmware calls itself names no
// directory.
func TestRecordThatLeadsElsewhere(t *testing.T) {
	top := t.TempDir()
	from, to := filepath.Join(top, "pstore"), filepath.Join(top, "lib/crash")
	os.MkdirAll(filepath.Dir(to), 0o700)
	os.Mkdir(from, 0o700)
	for i, why := range []string{"/../../../owned", "../owned", "..", ".", "a/b", "Panic/..", "a\x00b", "Panic\u009b", strings.Repeat("x", 300), ""} {
		dump(t, from, 1_760_000_000+int64(i), why, "", "x\n")
	}
	crashes, err := Collect(from, to)
	if err != nil || len(crashes) != 20 {
		t.Errorf("Collect = %d crashes, %v; want each of the 20 records kept as it is", len(crashes), err)
	}
	for _, c := range crashes {
		if dir := filepath.Dir(filepath.Dir(c.Path)); c.Kind != pstore.Unknown || dir != to || filepath.Clean(c.Path) != c.Path {
			t.Errorf("a record is kept as %q in %s", c.Kind, c.Path)
		}
	}
	if entries, _ := os.ReadDir(top); len(entries) != 2 {
		t.Errorf("beside the directory of crashes there is now %v", entries)
	}
}

// TestNoteFromManySides: the gate may decide while the way down begins.
func TestNoteFromManySides(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := note(dir, pid1.Run{BootID: "a"}, func(r *pid1.Run) { r.Request += "x" }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := read(t, filepath.Join(dir, current())).Request; len(got) != 20 {
		t.Errorf("%d notes of 20 are left", len(got))
	}
}

// dump puts one dump of two parts into a directory like pstore's.
func dump(t *testing.T, dir string, at int64, why, early, late string) {
	t.Helper()
	for part, text := range []string{late, early} {
		name := filepath.Join(dir, "dmesg-efi-"+time.Unix(at, 0).UTC().Format("20060102150405")+string(rune('1'+part)))
		if err := os.WriteFile(name, []byte(why+"#1 Part"+string(rune('1'+part))+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(name, time.Unix(at, 0), time.Unix(at, 0))
	}
}

func TestCollect(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "crash")
	const at = 1_760_000_000
	for i := range int64(keep + 2) {
		dump(t, from, at+60*i, "Panic", "<0>[    9.5] ketch: PID 1 panic: lost at sea\n", "<0>[    9.6] Kernel panic - not syncing: Attempted to kill init!\n")
	}
	crashes, err := Collect(from, to)
	if err != nil || len(crashes) != keep+2 {
		t.Fatalf("Collect = %d crashes, %v; want %d", len(crashes), err, keep+2)
	}
	last := crashes[keep+1]
	want := pid1.Crash{
		Kind: "Panic", Time: time.Unix(at+60*(keep+1), 0).UTC(), Reason: "PID 1 panic: lost at sea",
	}
	want.Path = filepath.Join(to, want.Time.Format("20060102T150405Z")+"-panic-1", Dump)
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("last crash (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(last.Path)
	if want := "<0>[    9.5] ketch: PID 1 panic: lost at sea\n<0>[    9.6] Kernel panic - not syncing: Attempted to kill init!\n"; string(text) != want || err != nil {
		t.Errorf("dump = %q, %v; want %q", text, err, want)
	}
	if left, _ := os.ReadDir(from); len(left) != 0 {
		t.Errorf("%d records are left in pstore; want none: they take the firmware's memory", len(left))
	}
	kept, _ := os.ReadDir(to)
	if len(kept) != keep {
		t.Errorf("%d crashes are kept; want the last %d", len(kept), keep)
	}
	if _, err := os.Stat(last.Path); err != nil {
		t.Errorf("the last crash is not among those kept: %v", err)
	}
	if again, err := Collect(from, to); len(again) != 0 || err != nil {
		t.Errorf("Collect of nothing = %v, %v", again, err)
	}
}

// TestCollectKeepsWhatItCannotMove: a dump leaves pstore only once it is elsewhere.
func TestCollectKeepsWhatItCannotMove(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "crash")
	os.WriteFile(to, nil, 0o600) // no directory can be made there
	dump(t, from, 1_760_000_000, "Panic", "", "x\n")
	if crashes, err := Collect(from, to); err == nil || len(crashes) != 0 {
		t.Errorf("Collect = %v, %v; want an error", crashes, err)
	}
	if left, _ := os.ReadDir(from); len(left) != 2 {
		t.Errorf("%d records are left in pstore; want both", len(left))
	}
}

func TestCollectCutsAHugeDump(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	huge := make([]byte, 2*maxDump)
	for i := range huge {
		huge[i] = 'x'
	}
	dump(t, from, 1_760_000_000, "Panic", string(huge), "the last words\n")
	crashes, err := Collect(from, to)
	if err != nil || len(crashes) != 1 {
		t.Fatal(crashes, err)
	}
	text, _ := os.ReadFile(crashes[0].Path)
	if len(text) != maxDump || string(text[len(text)-6:]) != "words\n" {
		t.Errorf("kept %d bytes that end with %q; want the last %d", len(text), text[max(0, len(text)-6):], maxDump)
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"<4>[    1.0] all is well\n": "",
		"<0>[    2.0] Kernel panic - not syncing: sysrq triggered crash\n<4>[    2.0] CPU: 0\n":                                             "Kernel panic - not syncing: sysrq triggered crash",
		"<0>[    1.9] ketch: PID 1 panic: x\n<0>[    2.0] Kernel panic - not syncing: Attempted to kill init!\n":                            "PID 1 panic: x",
		"<12>[    1.9] fatal error: \n<12>[    1.9] concurrent map writes\n<12>[    1.9] \n<0>[    2.0] Kernel panic - not syncing: init\n": "fatal error: concurrent map writes",
		"<12>[    1.9] fatal error: all goroutines are asleep - deadlock!\n<0>[    2.0] Kernel panic - not syncing: init\n":                 "fatal error: all goroutines are asleep - deadlock!",
	} {
		if got := reason(text); got != want {
			t.Errorf("reason(%q) = %q; want %q", text, got, want)
		}
	}
}

func TestWatchdogReset(t *testing.T) {
	for bits, want := range map[string]bool{"0\n": false, "32\n": true, "33\n": true, "x": false} {
		sys := fstest.MapFS{"class/watchdog/watchdog0/bootstatus": {Data: []byte(bits)}}
		if got := watchdogReset(sys); got != want {
			t.Errorf("bootstatus %q: %v; want %v", bits, got, want)
		}
	}
	if watchdogReset(fstest.MapFS{}) {
		t.Error("a machine without a watchdog was reset by one")
	}
}

func TestName(t *testing.T) {
	d := pstore.Dump{Why: "Oops", Count: 2, Time: time.Date(2026, 11, 22, 15, 4, 5, 0, time.FixedZone("", 3600))}
	if got, want := name(d), "20261122T140405Z-oops-2"; got != want {
		t.Errorf("name = %q; want %q", got, want)
	}
}

func TestInMemory(t *testing.T) {
	if got, err := inMemory("/dev/shm"); err != nil || !got {
		t.Errorf("inMemory(/dev/shm) = %v, %v; want true", got, err)
	}
	if got, err := inMemory("/proc"); err != nil || got {
		t.Errorf("inMemory(/proc) = %v, %v; want false", got, err)
	}
}

func TestRunRoundTrip(t *testing.T) {
	now := time.Now().UTC()
	run := pid1.Run{BootID: "a", Started: now, Ended: &now, Crashes: []pid1.Crash{{Kind: "Panic", Time: now}}}
	text, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(text)
	if diff := cmp.Diff(run, got); diff != "" || err != nil {
		t.Errorf("decode: %v (-want +got):\n%s", err, diff)
	}
}

func TestFailure(t *testing.T) {
	m := machine.New()
	if got := failure(m); got != nil {
		t.Errorf("failure without a record = %+v; want none", got)
	}
	m.Before = &bootrecord.Version{Name: "1.1", FailTime: 200, Words: "slot: gone"}
	m.SetRecord(&bootrecord.Record{Versions: []bootrecord.Version{
		{Name: "1.1", Words: bootrecord.Silent}, {Name: "1.0"}, {Name: "0.9", FailTime: 100, Words: "gate"},
	}})
	if got := failure(m); got == nil || got.Version != "1.1" || got.Words != "slot: gone" || got.Time.Unix() != 200 {
		t.Errorf("failure = %+v; want the younger one, of this version's last start", got)
	}
	m.Before.FailTime = 0
	if got := failure(m); got == nil || got.Version != "0.9" {
		t.Errorf("failure = %+v; want that of 0.9", got)
	}
}

// FuzzDecode reads what lay on a disk; what is taken is the same when it is written
// and read again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"started":"2026-11-30T12:00:00Z","fatal":"slot","boot":{"goodUsec":1}}`))
	f.Add([]byte(`{"started":"no time"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		run, err := decode(text)
		if err != nil {
			return
		}
		written, err := json.Marshal(run)
		if err != nil {
			return // a year that JSON has no digits for
		}
		again, err := decode(written)
		if err != nil {
			t.Fatalf("decode(%s): %v", written, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(written) {
			t.Errorf("written again: %s, %v; want %s", second, err, written)
		}
	})
}
