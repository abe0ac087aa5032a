package lastrun

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
)

func TestStreak(t *testing.T) {
	run := &pid1.Run{BootID: "a"}
	cut := &pid1.Previous{End: pid1.EndCut, Run: run}
	for _, test := range []struct {
		name     string
		before   Streak
		previous *pid1.Previous
		want     Streak
	}{
		{"the first boot", Streak{}, &pid1.Previous{End: pid1.EndNone}, Streak{BootID: "b"}},
		{"cut off", Streak{BootID: "a", Count: 2}, cut, Streak{BootID: "b", Count: 3}},
		{"cut off before ketchd could count", Streak{BootID: "z", Count: 2, Settled: true}, cut, Streak{BootID: "b", Count: 3}},
		{"a panic", Streak{BootID: "a", Count: 2}, &pid1.Previous{End: pid1.EndPanic, Run: run}, Streak{BootID: "b", Count: 3}},
		{"a panic, no account", Streak{BootID: "a", Count: 2, Settled: true}, &pid1.Previous{End: pid1.EndPanic}, Streak{BootID: "b", Count: 3}},
		{"PID 1 gave up", Streak{BootID: "a"}, &pid1.Previous{End: pid1.EndFatal, Run: run}, Streak{BootID: "b", Count: 1}},
		{"cut off after workloads had run for long", Streak{BootID: "a", Count: 2, Settled: true}, cut, Streak{BootID: "b"}},
		{"in order", Streak{BootID: "a", Count: 2}, &pid1.Previous{End: pid1.EndClean, Run: run}, Streak{BootID: "b"}},
		{"the same boot", Streak{BootID: "b", Count: 2}, cut, Streak{BootID: "b", Count: 2}},
	} {
		if got := test.before.Next("b", test.previous); got != test.want {
			t.Errorf("%s: Next = %+v; want %+v", test.name, got, test.want)
		}
	}
}

func TestHold(t *testing.T) {
	for count, want := range map[int]time.Duration{
		0: 0, 1: 0, 2: 0, 3: time.Minute, 4: 2 * time.Minute, 5: 4 * time.Minute, 7: 16 * time.Minute, 8: 30 * time.Minute, 1 << 30: 30 * time.Minute,
	} {
		s := Streak{Count: count}
		if got := s.Hold(); got != want || (s.Problem() != "") != (want > 0) {
			t.Errorf("%d boots: Hold = %v, %q; want %v", count, got, s.Problem(), want)
		}
	}
	if got := (Streak{Count: 3, Settled: true}).Problem(); got != "" {
		t.Errorf("Problem of one that has settled = %q", got)
	}
}

func TestStreakFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "streak.json")
	want := Streak{BootID: "a", Count: 7, Settled: true}
	if got, err := LoadStreak(path); got != (Streak{}) || err != nil {
		t.Errorf("LoadStreak of no file = %+v, %v", got, err)
	}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadStreak(path); got != want || err != nil {
		t.Errorf("LoadStreak = %+v, %v; want %+v", got, err, want)
	}
	for _, torn := range []string{"", "{", `{"bootID": "a", "count": -1}`, `{"count": 1e99}`, "\x00\x00"} {
		if err := os.WriteFile(path, []byte(torn), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadStreak(path); got != (Streak{}) || err != nil {
			t.Errorf("LoadStreak of %q = %+v, %v; want none", torn, got, err)
		}
	}
	if _, err := LoadStreak(t.TempDir()); err == nil {
		t.Error("LoadStreak of a directory = nil; want an error")
	}
}

func FuzzStreak(f *testing.F) {
	f.Add(`{"bootID": "a", "count": 3}`)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "streak.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := LoadStreak(path)
		if err != nil || s.Hold() < 0 || s.Hold() > lastHold {
			t.Errorf("LoadStreak of %q = %+v, %v, hold %v", text, s, err, s.Hold())
		}
	})
}
