package pstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// store writes a record as the EFI backend of Linux 6.1 names it: the identifier is
// (seconds·100 + part)·1000 + count.
func store(t *testing.T, dir string, seconds int64, part, count int, text string) string {
	t.Helper()
	name := fmt.Sprintf("dmesg-efi-%d", (seconds*100+int64(part))*1000+int64(count))
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(seconds, 0)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDumps(t *testing.T) {
	dir := t.TempDir()
	const at = 1_760_000_000
	// Two boots that panicked, the second after an Oops in the same second; one
	// dump runs over the end of a second.
	a1 := store(t, dir, at, 1, 1, "Panic#1 Part1\nnewest\n")
	a2 := store(t, dir, at, 2, 1, "Panic#1 Part2\nmiddle\n")
	a3 := store(t, dir, at+1, 3, 1, "Panic#1 Part3\noldest\n")
	b1 := store(t, dir, at+60, 1, 1, "Oops#1 Part1\noops\n")
	c1 := store(t, dir, at+60, 1, 2, "Panic#2 Part1\npanic\n")
	d1 := store(t, dir, at+99, 1, 1, "Panic#1 Part1\nagain")
	e1 := store(t, dir, at+100, 1, 1, "Panic#1 Part1\nand again")
	f1 := store(t, dir, at+200, 1, 1, "\x00\x01binary")
	os.WriteFile(filepath.Join(dir, "console-ramoops-0"), []byte("Panic#1 Part1\nx"), 0o400)

	got, err := Dumps(dir)
	if err != nil {
		t.Error(err)
	}
	second := func(n int64) time.Time { return time.Unix(at+n, 0) }
	want := []Dump{
		{"Panic", 1, second(0), "oldest\nmiddle\nnewest\n", []string{a1, a2, a3}},
		{"Oops", 1, second(60), "oops\n", []string{b1}},
		{"Panic", 2, second(60), "panic\n", []string{c1}},
		{"Panic", 1, second(99), "again", []string{d1}},
		{"Panic", 1, second(100), "and again", []string{e1}},
		{Unknown, 0, second(200), "\x00\x01binary", []string{f1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Dumps (-want +got):\n%s", diff)
	}
	for _, d := range got {
		if err := d.Remove(dir); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left; want the one that is no dump", len(left))
	}
}

func TestNone(t *testing.T) {
	if got, err := Dumps(filepath.Join(t.TempDir(), "none")); got != nil || err != nil {
		t.Errorf("Dumps without a directory = %v, %v; want none", got, err)
	}
	if err := (Dump{Files: []string{"gone"}}).Remove(t.TempDir()); err == nil {
		t.Error("Remove of a record that is not there = nil; want an error")
	}
}

// A record's time stands in the name of a variable, as any number of seconds.
func TestMoment(t *testing.T) {
	for seconds, want := range map[int64]int64{0: 0, -1: 0, 1_760_000_000: 1_760_000_000, 253402300799: 253402300799, 253402300800: 0, 1 << 60: 0, -1 << 60: 0} {
		got := moment(time.Unix(seconds, 0))
		if _, err := got.UTC().MarshalText(); got.Unix() != want || err != nil {
			t.Errorf("moment(%d) = %v, %v; want %d", seconds, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Panic#1 Part2\n<4>[    1.0] x\n")
	f.Add("/../../../../run/owned#1 Part1\n")
	f.Add("#1 Part2\n")
	f.Fuzz(func(t *testing.T, data string) {
		r, err := parse(data)
		if err == nil && (r.why == "" || strings.Trim(strings.ToLower(r.why), "abcdefghijklmnopqrstuvwxyz") != "" || r.count < 1 || r.part < 1 || !strings.HasSuffix(data, r.text)) {
			t.Errorf("parse(%q) = %+v", data, r)
		}
	})
}
