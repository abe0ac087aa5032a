package kmsg

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]Record{
		"6,339,5140900,-;NET: Registered protocol family 10\n":                {Info, 339, 5140900 * time.Microsecond, "NET: Registered protocol family 10"},
		"12,7,0,-,caller=T1;ketch: degraded: x\n":                             {Warning, 7, 0, "ketch: degraded: x"},
		"4,8,1,c;a; b, c\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n":        {Warning, 8, time.Microsecond, "a; b, c"},
		"0,18446744073709551615,1000000,-;Kernel panic - not syncing: x\\x0a": {Emergency, 1<<64 - 1, time.Second, `Kernel panic - not syncing: x\x0a`},
	} {
		if got, err := parse(in); got != want || err != nil {
			t.Errorf("parse(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "6,1;x", "x,1,2,-;x", "6,-1,2,-;x", "6,1,2,-"} {
		if got, err := parse(in); err == nil {
			t.Errorf("parse(%q) = %+v; want an error", in, got)
		}
	}
}

func TestLevelNames(t *testing.T) {
	for level, want := range map[Level]string{Emergency: "emerg", Error: "err", Warning: "warn", Notice: "notice", Info: "info", 7: "debug", 9: "9", -1: "-1"} {
		if got := level.String(); got != want {
			t.Errorf("level %d is called %q; want %q", int(level), got, want)
		}
	}
}

// TestNext reads this computer's kernel log, where that is allowed.
func TestNext(t *testing.T) {
	r, err := Open()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		testkit.Need(t, "the kernel log", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.AfterFunc(100*time.Millisecond, func() { r.Close() })
	for last := uint64(0); ; {
		record, err := r.Next()
		if errors.Is(err, os.ErrClosed) {
			return // Close has ended the wait for more
		}
		if err != nil {
			t.Fatal(err)
		}
		if last != 0 && record.Sequence <= last {
			t.Fatalf("record %d follows %d", record.Sequence, last)
		}
		last = record.Sequence
	}
}

func FuzzParse(f *testing.F) {
	f.Add("6,339,5140900,-;NET\n SUBSYSTEM=acpi\n")
	f.Fuzz(func(t *testing.T, data string) {
		if r, err := parse(data); err == nil && (r.Level < 0 || r.Level > 7 || r.Time < 0) {
			t.Errorf("parse(%q) = %+v", data, r)
		}
	})
}
