package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFirstDifference(t *testing.T) {
	const size = 1 << 20
	want := pages{}
	for _, at := range []int64{0, 4090, 500_000, size - 3} {
		if _, err := want.WriteAt([]byte("abcdefgh")[:min(8, size-at)], at); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for number, page := range want {
		if _, err := f.WriteAt(page[:], number*pageSize); err != nil {
			t.Fatal(err)
		}
	}
	skip := []span{{200_000, 210_000}}
	check := func(want2 int64) {
		t.Helper()
		if got, err := firstDifference(&Disk{Size: size, from: f, file: f}, want, skip); err != nil || got != want2 {
			t.Errorf("firstDifference = %d, %v; want %d", got, err, want2)
		}
	}
	check(-1)
	for _, at := range []int64{0, 4095, 4096, 100_000, 199_999, 210_000, 500_003, size - 1} {
		var old [1]byte
		if _, err := f.ReadAt(old[:], at); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{old[0] + 1}, at); err != nil {
			t.Fatal(err)
		}
		check(at)
		if _, err := f.WriteAt(old[:], at); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []int64{200_000, 205_000, 209_999} {
		if _, err := f.WriteAt([]byte{1}, at); err != nil {
			t.Fatal(err)
		}
	}
	check(-1)
}
