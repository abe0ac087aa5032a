package bootcount

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/machine/machinetest"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/cmdline"
)

func root(n byte) verity.RootHash { return verity.RootHash{0: n} }

var (
	one = start{root(1), "1.0", "ketch_1.0"}
	two = start{root(2), "2.0", "ketch_2.0"}
)

// history is a record of starts, each with its end: "good", "fails" or "silent".
func history(t *testing.T, starts ...any) *bootrecord.Record {
	t.Helper()
	r := &bootrecord.Record{}
	for i := 0; i < len(starts); i += 2 {
		starts[i].(start).count(r)
		switch starts[i+1] {
		case "good":
			r.Good(&r.Versions[0], time.Unix(1_800_000_000, 0))
		case "fails":
			r.Versions[0].Fail("slot: gone", time.Unix(1_800_000_000, 0))
		}
		r.Generation++
	}
	return r
}

func TestJudge(t *testing.T) {
	onTrial := []any{one, "good", two, "fails", two, "silent", two, "fails", two, ""}
	ever := []any{one, "good", two, "good", two, "fails", two, "fails", two, "fails", two, ""}
	for name, test := range map[string]struct {
		starts []any
		to     string
		pause  time.Duration
	}{
		"first start":                   {[]any{one, ""}, "", 0},
		"third start":                   {[]any{one, "good", two, "fails", two, "fails", two, ""}, "", 0},
		"fourth start":                  {onTrial, "1.0", 10 * time.Second},
		"asked in vain":                 {append(append([]any{}, onTrial...), two, ""), "1.0", 20 * time.Second},
		"fourth start of a good one":    {ever, "1.0", 10 * time.Second},
		"not asked in vain for ever":    {append(append([]any{}, onTrial...), two, "", two, "", two, ""), "", 80 * time.Second},
		"no other":                      {[]any{one, "fails", one, "fails", one, "fails", one, ""}, "", 10 * time.Second},
		"the other was never good":      {[]any{two, "fails", one, "fails", one, "fails", one, "fails", one, ""}, "", 10 * time.Second},
		"the other has failed as often": {append(append([]any{}, ever...), one, "fails", one, "fails", one, "fails", one, ""), "", 10 * time.Second},
		"a good start ends the row":     {[]any{one, "good", two, "fails", two, "fails", two, "good", two, ""}, "", 0},
	} {
		to, pause := judge(history(t, test.starts...))
		got := ""
		if to != nil {
			got = to.Name
		}
		if got != test.to || pause != test.pause {
			t.Errorf("%s: judge = %q, %v; want %q, %v", name, got, pause, test.to, test.pause)
		}
	}
	starts := []any{}
	for range 200 {
		starts = append(starts, one, "fails")
	}
	if _, pause := judge(history(t, starts...)); pause != longestPause {
		t.Errorf("after 200 failures: %v; want %v", pause, longestPause)
	}
}

// When the loader has followed, the version that gave way has failed three times,
// not four. Its next start asks as if for the first time.
func TestAskingIsNoFailure(t *testing.T) {
	r := history(t, one, "good", two, "fails", two, "fails", two, "fails", two, "")
	r.Asked, r.AskedFor = one.root, two.root
	one.count(r)
	if got := r.Find(two.root).Attempts; got != layout.Tries || !failed(*r.Find(two.root)) {
		t.Errorf("attempts of the version that failed = %d; want %d, and failed", got, layout.Tries)
	}
	if !r.Asked.IsZero() || !r.AskedFor.IsZero() {
		t.Error("the asking has not been taken off the record")
	}
	for n := range 5 { // every reset: the loader takes 2.0, which asks, and 1.0 comes
		two.count(r)
		if to, _ := judge(r); to == nil || to.Name != "1.0" {
			t.Fatalf("reset %d: judge = %v; want 1.0", n, to)
		}
		r.Asked, r.AskedFor = one.root, two.root
		one.count(r)
		r.Good(&r.Versions[0], time.Unix(0, 0))
	}
}

func TestWhy(t *testing.T) {
	names := func(files ...string) (list []entry.Name) {
		for _, file := range files {
			n, err := entry.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, n)
		}
		return list
	}
	asked := history(t, one, "good", two, "fails", two, "fails", two, "fails")
	asked.Asked, asked.AskedFor = one.root, two.root
	itself := history(t, one, "good")
	itself.Asked, itself.AskedFor = one.root, one.root
	for _, test := range []struct {
		record   *bootrecord.Record
		selected string
		entries  []entry.Name
		want     string
	}{
		{asked, "ketch_1.0.efi", names("ketch_2.0+3-0.efi", "ketch_1.0.efi"), "after 3 failures in a row of version 2.0: slot: gone"},
		{itself, "ketch_1.0+2-1.efi", names("ketch_1.0+2-1.efi"), "asked for by this version itself"},
		{&bootrecord.Record{}, "", nil, "does not tell"},
		{&bootrecord.Record{}, "ketch_1.0.efi", nil, "does not tell"},
		{&bootrecord.Record{}, "ketch_1.0.efi", names("ketch_1.0.efi"), "the only one"},
		{&bootrecord.Record{}, "ketch_1.0.efi", names("ketch_1.0.efi", "ketch_0.9.efi"), "the newest"},
		{&bootrecord.Record{}, "ketch_1.0.efi", names("ketch_1.0.efi", "ketch_2.0+0-3.efi"), "ketch_2.0 has none left"},
		{&bootrecord.Record{}, "ketch_0.9.efi", names("ketch_1.0.efi", "ketch_0.9.efi"), "by hand"},
		{&bootrecord.Record{}, "ketch_2.0+0-3.efi", names("ketch_2.0+0-3.efi", "ketch_1.0+0-3.efi"), "no entry has tries left"},
	} {
		if got := why(test.record, one, test.selected, test.entries); !strings.Contains(got, test.want) {
			t.Errorf("why(%q, %v) = %q; want %q", test.selected, test.entries, got, test.want)
		}
	}
}

// TestWhyOlder: that a newer version was good here is told, unless it has failed since.
func TestWhyOlder(t *testing.T) {
	for _, test := range []struct {
		starts []any
		want   bool
	}{
		{[]any{one, "good", two, "good"}, true},
		{[]any{one, "good", two, "fails"}, false},
		{[]any{two, "good", two, "fails", two, "fails", two, "fails"}, false},
		{[]any{one, "good"}, false},
		{nil, false},
	} {
		if got := older(history(t, test.starts...), one); (got != "") != test.want {
			t.Errorf("older after %v = %q; want it told: %v", test.starts, got, test.want)
		}
	}
	if got := older(history(t, one, "good", two, "good"), two); got != "" {
		t.Errorf("older of the newer version = %q; want nothing", got)
	}
}

func TestTarget(t *testing.T) {
	v := bootrecord.Version{Entry: "ketch_1.0-RC1"}
	n := entry.Name{ID: "ketch_1.0-rc1", Counted: true, Left: 1, Done: 2} // as the loader lists it
	if got, err := target(v, []entry.Name{{ID: "ketch_2.0"}, n}); got != n || err != nil {
		t.Errorf("target = %+v, %v; want %+v", got, err, n)
	}
	if got, err := target(v, nil); got.File() != "ketch_1.0-RC1.efi" || err != nil {
		t.Errorf("target without a list = %+v, %v; want the good name", got, err)
	}
	if got, err := target(v, []entry.Name{{ID: "ketch_2.0"}}); err == nil {
		t.Errorf("target of an entry that is gone = %+v; want an error", got)
	}
}

func TestNewStart(t *testing.T) {
	m := machine.New()
	m.Entry = "ketch_2.0+3-0.efi"
	digits := strings.Repeat("0a", 32)
	line := cmdline.Parse("usrhash=" + digits + " ketch.version=2.0 usrhash=00 ketch.version=3.0")
	got := newStart(m, line)
	if got.root.String() != digits || got.version != "2.0" || got.entry != "ketch_2.0" {
		t.Errorf("newStart = %+v; want the first occurrences", got)
	}
	if got := newStart(machine.New(), cmdline.Parse("usrhash=x")); !got.root.IsZero() || got.entry != "ketch_" {
		t.Errorf("newStart of a command line that says nothing = %+v", got)
	}
}

// onDisk is a machine whose boot record is a file, and which has counted a start.
func onDisk(t *testing.T, s start) *machine.Machine {
	t.Helper()
	m := machine.New()
	m.BootRecord = filepath.Join(t.TempDir(), "partition")
	if err := os.WriteFile(m.BootRecord, make([]byte, layout.SizeBoot), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := update(m, func(r *bootrecord.Record) error { s.count(r); return nil }); err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t *testing.T, m *machine.Machine) *bootrecord.Record {
	t.Helper()
	f, err := os.Open(m.BootRecord)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := bootrecord.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFailAndGood(t *testing.T) {
	m := onDisk(t, one)
	if got := Report(m).Versions[0]; got.Words != "" || got.Attempts != 1 || !got.Running {
		t.Errorf("report of the running version = %+v", got)
	}
	Fail(m, errors.New("verity: broken"))
	if got := read(t, m).Versions[0]; got.Words != "verity: broken" || got.FailTime == 0 {
		t.Errorf("after Fail: %+v", got)
	}
	Fail(m, &Fallback{})
	if got := read(t, m).Versions[0]; got.Words != "verity: broken" {
		t.Errorf("a fallback has changed the words: %+v", got)
	}
	if err := Good(m); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m).Versions[0]; got.Attempts != 0 || got.Goods != 1 || got.Words != "" || got.LastGood != 3 {
		t.Errorf("after Good: %+v", got)
	}
	if got := Report(m).Versions[0]; !got.LastGood || got.GoodAt == "" {
		t.Errorf("report after Good = %+v", got)
	}
	if diff := cmp.Diff(read(t, m), m.Record()); diff != "" {
		t.Errorf("the machine's record is not the disk's (-disk +machine):\n%s", diff)
	}
}

// A machine without a record does what it does without one.
func TestWithoutRecord(t *testing.T) {
	m := machine.New()
	Fail(m, errors.New("x"))
	_, failed := Failed(m, entry.Name{ID: "ketch_2.0"})
	if err := Good(m); err != nil || Report(m) != nil || failed {
		t.Errorf("without a record: Good = %v, Report = %v, failed %v", err, Report(m), failed)
	}
	if err := current(m, nil); err != nil {
		t.Errorf("current = %v; want nothing to change", err)
	}
	m.BootRecord = filepath.Join(t.TempDir(), "gone")
	if _, err := update(m, func(*bootrecord.Record) error { return nil }); err == nil {
		t.Error("update without the partition = nil; want an error")
	}
}

func TestDamagedRecordStartsOver(t *testing.T) {
	m := onDisk(t, one)
	if err := os.WriteFile(m.BootRecord, []byte(strings.Repeat("x", layout.SizeBoot)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := update(m, func(r *bootrecord.Record) error { two.count(r); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m); got.Generation != 1 || len(got.Versions) != 1 || got.Versions[0].Name != "2.0" {
		t.Errorf("after a damaged record: %+v", got)
	}
}

// TestAHangingDiskIsNotFedFor: the loop of the running system is the one to feed the
// watchdog, which looks at PID 1's liveness; a disk that hangs must not do it.
func TestAHangingDiskIsNotFedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := onDisk(t, one)
		fed := machinetest.Watch(t, m)
		release := make(chan struct{})
		defer close(release)
		_, err := update(m, func(*bootrecord.Record) error { <-release; return nil })
		if err == nil || err.Error() != "not done within 10s" {
			t.Errorf("update on a disk that hangs = %v; want it cut off", err)
		}
		if n := fed(); n != 0 {
			t.Errorf("a disk that hangs has fed the watchdog %d times", n)
		}
	})
}

// Two at a time do not lose each other's change.
func TestUpdatesTakeTurns(t *testing.T) {
	m := onDisk(t, one)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := update(m, func(r *bootrecord.Record) error { two.count(r); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := read(t, m).Find(two.root); got == nil || got.Starts != 8 {
		t.Errorf("after 8 counts: %+v", got)
	}
}

func TestFailed(t *testing.T) {
	m := machine.New()
	m.SetRecord(history(t, two, "good", two, "fails", two, "fails", two, "fails", one, "good"))
	for id, want := range map[string]bool{"ketch_2.0": true, "KETCH_2.0": true, "ketch_1.0": false, "ketch_3.0": false} {
		if _, got := Failed(m, entry.Name{ID: id}); got != want {
			t.Errorf("Failed(%s) = %v; want %v", id, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	table := &gpt.Table{Partitions: []gpt.Partition{{Type: gpt.MustParseGUID(layout.TypeState)}, {Type: gpt.MustParseGUID(layout.TypeBoot)}}}
	if got := find(table); got != 2 {
		t.Errorf("find = %d; want 2", got)
	}
	if got := find(&gpt.Table{}); got != 0 {
		t.Errorf("find in an empty table = %d; want 0", got)
	}
}
