package cache

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Each of these leaves the name, the size and the time of modification as they
// were; a stamp tells all the same.
func TestStampTellsAChange(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"written in place": func(path string) error { return os.WriteFile(path, []byte("evil"), 0o644) },
		"replaced": func(path string) error {
			if err := os.WriteFile(path+".new", []byte("evil"), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte("good"), 0o644); err != nil {
			t.Fatal(err)
		}
		before := settle(t, path)
		if again := stamp(t, path); again != before {
			t.Errorf("%s: not touched: %v, then %v", name, before, again)
		}
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, before.Modified, before.Modified); err != nil {
			t.Fatal(err)
		}
		after := stamp(t, path)
		if !after.Modified.Equal(before.Modified) || after.Size != before.Size {
			t.Fatalf("%s: the test leaves a trace of its own: %v, then %v", name, before, after)
		}
		if after.String() == before.String() {
			t.Errorf("%s: the stamp is still %v", name, before)
		}
	}
}

func stamp(t *testing.T, path string) Stamp {
	t.Helper()
	s, err := StampOf(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settle waits until the clock of the file system has gone on since the file changed.
func settle(t *testing.T, path string) Stamp {
	t.Helper()
	s, probe := stamp(t, path), filepath.Join(t.TempDir(), "probe")
	for {
		if err := os.WriteFile(probe, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if stamp(t, probe).Changed.After(s.Changed) {
			return s
		}
	}
}

func TestSettled(t *testing.T) {
	changed := time.Unix(1000, 5)
	for after, want := range map[time.Duration]bool{0: false, time.Millisecond: false, -time.Hour: false, 2 * time.Second: true, time.Hour: true} {
		if got := (Stamp{Changed: changed}).Settled(changed.Add(after)); got != want {
			t.Errorf("%v after the change: Settled = %v; want %v", after, got, want)
		}
	}
}
