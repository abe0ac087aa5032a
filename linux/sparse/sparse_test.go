package sparse

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
)

// unit is a multiple of the blocks that file systems have.
const unit = 64 << 10

// file makes a file of some units, each filled with its number, as one that
// somebody appends to.
func file(t *testing.T, units int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for i := range units {
		f.Write(bytes.Repeat([]byte{byte('a' + i)}, unit))
	}
	return f
}

func TestKeep(t *testing.T) {
	for _, test := range []struct{ last, data int64 }{
		{10 * unit, 0}, {4 * unit, 0}, {4*unit - 1, 0}, {3 * unit, unit}, {2 * unit, 2 * unit}, {unit, 3 * unit}, {0, 4 * unit},
	} {
		f := file(t, 4)
		if err := Keep(f, test.last); err != nil {
			t.Fatal(err)
		}
		if at, err := Data(f, 0); at != test.data || err != nil {
			t.Errorf("after Keep(%d) the data begins at %d, %v; want %d", test.last, at, err, test.data)
		}
		f.WriteString("end")
		info, _ := f.Stat()
		if info.Size() != 4*unit+3 {
			t.Errorf("after Keep(%d) and 3 bytes more the size is %d; want %d", test.last, info.Size(), 4*unit+3)
		}
		end := make([]byte, 3)
		if _, err := f.ReadAt(end, 4*unit); string(end) != "end" || err != nil {
			t.Errorf("what was appended after Keep(%d) is %q, %v", test.last, end, err)
		}
	}
}

// TestLap: the file is shortened by a whole lap, and what it holds stays.
func TestLap(t *testing.T) {
	f := file(t, 5)
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, unit); errors.Is(err, unix.EOPNOTSUPP) {
		testkit.Need(t, "a file system that can shorten files", err)
	}
	const lap = 2 * unit
	if err := keep(f, 2*unit, lap); err != nil { // 4 units, 2 of them a hole
		t.Fatal(err)
	}
	info, _ := f.Stat()
	if info.Size() != 2*unit {
		t.Fatalf("size = %d; want one lap less, %d", info.Size(), 2*unit)
	}
	got := make([]byte, 2*unit)
	f.ReadAt(got, 0)
	if got[0] != 'd' || got[unit] != 'e' {
		t.Errorf("the units are %c and %c; want d and e", got[0], got[unit])
	}
}

func TestData(t *testing.T) {
	f := file(t, 3)
	Keep(f, unit)
	for from, want := range map[int64]int64{0: 2 * unit, 1: 2 * unit, 2*unit + 5: 2*unit + 5, 3 * unit: 3 * unit, 9 * unit: 9 * unit} {
		if at, err := Data(f, from); at != want || err != nil {
			t.Errorf("Data(%d) = %d, %v; want %d", from, at, err, want)
		}
	}
	f.Close()
	if at, err := Data(f, 0); err == nil {
		t.Errorf("Data of a closed file = %d; want an error", at)
	}
}

// TestDataOfAGrowingFile: what is appended while the data is looked for is never
// taken for a hole.
func TestDataOfAGrowingFile(t *testing.T) {
	const writes, size = 20_000, 100
	f := file(t, 0)
	done := make(chan error, 1)
	go func() {
		for range writes {
			if _, err := f.Write(make([]byte, size)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	buffer := make([]byte, unit)
	for offset := int64(0); offset < writes*size; {
		at, err := Data(f, offset)
		if err != nil || at != offset {
			t.Errorf("of a file without holes the data after %d begins at %d, %v", offset, at, err)
			break
		}
		n, _ := f.ReadAt(buffer, offset)
		offset += int64(n)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
