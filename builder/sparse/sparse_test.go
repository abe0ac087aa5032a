package sparse

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
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

// A block device knows no holes, and says so in a way of its own (lseek: EINVAL).
func TestEachOfABlockDevice(t *testing.T) {
	losetup := testkit.Tool(t, "losetup")
	testkit.Root(t, "to make a loop device")
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(losetup, "--find", "--show", file).Output()
	testkit.Need(t, "a loop device", err)
	device := strings.TrimSpace(string(out))
	defer exec.Command(losetup, "--detach", device).Run()
	f, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got [][2]int64
	err = Each(f, 1<<20, func(start, end int64) error {
		got = append(got, [2]int64{start, end})
		return nil
	})
	if err != nil || len(got) != 1 || got[0] != [2]int64{0, 1 << 20} {
		t.Errorf("Each = %v, %v; want the whole device", got, err)
	}
}
