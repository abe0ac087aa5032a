package sparse

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEach(t *testing.T) {
	const size = 8 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	written := []int64{0, 3 << 20, size - 1}
	for _, at := range written {
		if _, err := f.WriteAt([]byte{1}, at); err != nil {
			t.Fatal(err)
		}
	}
	found, last := 0, int64(-1)
	err = Each(f, size, func(start, end int64) error {
		if start <= last || end <= start || end > size {
			t.Errorf("range %d to %d after %d, in %d bytes", start, end, last, int64(size))
		}
		for _, at := range written {
			if at >= start && at < end {
				found++
			}
		}
		last = end
		return nil
	})
	if err != nil || found != len(written) {
		t.Errorf("Each found %d of %d bytes, %v", found, len(written), err)
	}
}
