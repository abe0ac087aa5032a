package raw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// disk makes a disk of bytes, with extents if there are any.
func disk(b []byte, extents ...[2]int64) *Disk {
	d := &Disk{ReaderAt: bytes.NewReader(b), Size: int64(len(b))}
	if len(extents) > 0 {
		d.Extents = func(do func(start, end int64) error) error {
			for _, e := range extents {
				if err := do(e[0], e[1]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return d
}

// random makes bytes in which about half of the sectors are zero.
func random(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, size)
	for at := 0; at < size; at += SectorSize {
		if r.IntN(2) == 0 {
			b[at+r.IntN(SectorSize)] = byte(1 + r.IntN(255))
		}
	}
	return b
}

// Whatever the chunk size and the number of cores, the chunks are those that
// are not zero, in order, and hold the disk.
func TestChunks(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, cores := range []int{1, 2, 5} {
		runtime.GOMAXPROCS(cores)
		for _, sectors := range []int{1, 2, 7, 64, 129} {
			b := random(sectors*SectorSize, uint64(sectors))
			for _, size := range []int64{512, 1024, 4096, 1 << 20} {
				t.Run(fmt.Sprintf("%d cores, %d sectors, chunks of %d", cores, sectors, size), func(t *testing.T) {
					checkChunks(t, disk(b), b, size)
				})
			}
		}
	}
}

func checkChunks(t *testing.T, d *Disk, want []byte, size int64) {
	t.Helper()
	got, last, progress := make([]byte, len(want)), int64(-1), int64(0)
	d.Progress = func(done int64) { progress = done }
	double := func() Encoder {
		return func(dst, data []byte) ([]byte, error) { return append(append(dst, data...), data...), nil }
	}
	err := d.Chunks(context.Background(), size, double, func(c Chunk) error {
		if c.Offset%size != 0 || c.Offset <= last || IsZero(c.Data) || int64(len(c.Data)) != min(size, d.Size-c.Offset) {
			t.Errorf("chunk at %d of %d bytes after %d", c.Offset, len(c.Data), last)
		}
		if !bytes.Equal(c.Encoded, slices.Concat(c.Data, c.Data)) {
			t.Errorf("chunk at %d: not encoded", c.Offset)
		}
		last = c.Offset
		copy(got[c.Offset:], c.Data)
		return nil
	})
	if err != nil || !bytes.Equal(got, want) || progress != d.Size {
		t.Errorf("the chunks do not hold the disk: %v, progress %d", err, progress)
	}
}

// Chunks that several extents touch come once; what is in none is not read.
func TestExtents(t *testing.T) {
	b := random(64*SectorSize, 1)
	for i := range b {
		b[i] |= 1
	}
	var got []int64
	d := disk(b, [2]int64{100, 200}, [2]int64{1000, 5000}, [2]int64{5000, 5001}, [2]int64{20000, 20001}, [2]int64{32767, 99999})
	err := d.Chunks(context.Background(), 4096, nil, func(c Chunk) error {
		got = append(got, c.Offset)
		return nil
	})
	if size, err := d.DataSize(); err != nil || size != 100+4000+1+1+1 {
		t.Errorf("DataSize() = %d, %v", size, err)
	}
	if want := []int64{0, 4096, 16384, 28672}; err != nil || !slices.Equal(got, want) {
		t.Errorf("chunks at %v, %v; want %v", got, err, want)
	}
}

// AllChunks gives every byte once, zeros encoded like the rest.
func TestAllChunks(t *testing.T) {
	plain := func() Encoder { return func(dst, data []byte) ([]byte, error) { return append(dst, data...), nil } }
	for _, sectors := range []int{1, 8, 9, 31, 100} {
		for _, b := range [][]byte{random(sectors*SectorSize, 3), make([]byte, sectors*SectorSize)} {
			var got []byte
			err := disk(b).AllChunks(context.Background(), 4096, plain, func(c Chunk) error {
				if c.Offset != int64(len(got)) || !bytes.Equal(c.Data, c.Encoded) {
					t.Errorf("chunk at %d after %d bytes", c.Offset, len(got))
				}
				got = append(got, c.Encoded...)
				return nil
			})
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d sectors: got %d bytes, %v; want the disk", sectors, len(got), err)
			}
		}
	}
}

// Of what goes wrong first the error comes out, wherever that is, and nothing hangs.
func TestErrors(t *testing.T) {
	boom := errors.New("boom")
	b := bytes.Repeat([]byte{1}, 1<<20)
	plain := func() Encoder { return func(dst, data []byte) ([]byte, error) { return append(dst, data...), nil } }
	failing := func() Encoder { return func([]byte, []byte) ([]byte, error) { return nil, boom } }
	short := disk(b)
	short.Size *= 2
	broken := disk(b)
	broken.Extents = func(do func(start, end int64) error) error { return errors.Join(do(0, 4096), boom) }
	for name, test := range map[string]struct {
		disk  *Disk
		enc   func() Encoder
		write error
	}{
		"encoder": {disk(b), failing, nil},
		"writer":  {disk(b), plain, boom},
		"extents": {broken, plain, nil},
		"short":   {short, plain, nil},
		"empty":   {disk(nil), plain, nil},
		"odd":     {disk(b[:1000]), plain, nil},
	} {
		err := test.disk.Chunks(context.Background(), 4096, test.enc, func(Chunk) error { return test.write })
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want its own error", name, err)
		}
	}
}

// A copy is the disk, with holes where it is zero.
func TestCopy(t *testing.T) {
	b := make([]byte, 5<<20+512)
	copy(b[3<<20-100:], "across two chunks and two blocks"+string(make([]byte, 90))+"!")
	b[len(b)-1] = 7
	f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	written := int64(0)
	if err := disk(b).Copy(context.Background(), counter{f, &written}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, b) {
		t.Errorf("the copy differs: %v", err)
	}
	if want := int64(4096 + 4096 + 512); written != want {
		t.Errorf("%d bytes were written; want %d", written, want)
	}
}

type counter struct {
	f *os.File
	n *int64
}

func (c counter) WriteAt(p []byte, at int64) (int, error) {
	*c.n += int64(len(p))
	return c.f.WriteAt(p, at)
}

func TestIsZero(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 10000} {
		b := make([]byte, n)
		if !IsZero(b) {
			t.Errorf("IsZero(%d zeros) = false", n)
		}
		for _, at := range []int{0, n / 2, n - 1} {
			if n > 0 {
				b[at] = 1
				if IsZero(b) {
					t.Errorf("IsZero(%d bytes, one set at %d) = true", n, at)
				}
				b[at] = 0
			}
		}
	}
}
