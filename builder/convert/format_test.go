package convert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ketch-os/ketch/builder/sparse"
	"github.com/ketch-os/ketch/disk/raw"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// content fills a part of a disk.
type content struct {
	offset, size int64
	random       bool // or text, which compresses
}

// disks are raw disks of many shapes: sizes that are whole units of every format
// and sizes that are of none, data at the very end and none at all.
func disks() map[string]struct {
	size int64
	data []content
} {
	type disk = struct {
		size int64
		data []content
	}
	return map[string]disk{
		"zero 64 MiB":     {64 * mib, nil},
		"one sector":      {512, []content{{0, 512, true}}},
		"one zero sector": {512, nil},
		"odd, all random": {5*mib + 3*512, []content{{0, 5*mib + 3*512, true}}},
		"odd, all text":   {5*mib + 37*512, []content{{0, 5*mib + 37*512, false}}},
		"64 MiB, mixed": {64 * mib, []content{
			{0, 3 * mib, false}, {3*mib + 4*kib, 100 * kib, true}, {10 * mib, 64 * kib, true}, {10*mib + 64*kib, 70 * kib, false},
			{33*mib - 512, 1024, true}, {40 * mib, 3 * mib, true}, {64*mib - 512, 512, false},
		}},
		"a cluster and a sector": {64*kib + 512, []content{{64 * kib, 512, false}}},
		"a block and a sector":   {2*mib + 512, []content{{2 * mib, 512, true}}},
		"many holes":             {120 * mib, every(4*mib, 120*mib, 512)},
		"3 GiB and a bit": {3*gib + 7*512, []content{
			{0, 17 * kib, false}, {512 * mib, 1 * mib, true}, {512*mib - 64*kib, 128 * kib, false}, {2 * gib, 4 * kib, true}, {3 * gib, 7 * 512, true},
		}},
		"64 GiB": {64 * gib, []content{
			{0, 17 * kib, false}, {32*gib - 100*512, 3 * mib, false}, {50 * gib, 512, true}, {64*gib - 17*kib, 17 * kib, false},
		}},
	}
}

// every puts a little data at regular places.
func every(step, size, length int64) (list []content) {
	for at := int64(0); at < size; at += step {
		list = append(list, content{at, length, true})
	}
	return list
}

// write makes a sparse file of a disk.
func write(t testing.TB, name string, size int64, data []content) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	for _, c := range data {
		b := bytes.Repeat([]byte("every byte explained. "), int(c.size)/22+1)[:c.size]
		if c.random {
			random.Read(b)
		}
		if _, err := f.WriteAt(b, c.offset); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// convert converts a raw disk and returns the file that was written.
func convert(t testing.TB, from string, f Format) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out."+f.Name)
	if err := (Conversion{Input: from, Output: path, Format: f}).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return path
}

// same fails the test when two sparse files differ. Only what is data in one of
// them is read.
func same(t *testing.T, a, b string) {
	t.Helper()
	files, sizes := [2]*os.File{}, [2]int64{}
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		files[i], sizes[i] = f, info.Size()
	}
	if sizes[0] != sizes[1] {
		t.Fatalf("%s has %d bytes, %s has %d", a, sizes[0], b, sizes[1])
	}
	for _, f := range files {
		err := sparse.Each(f, sizes[0], func(start, end int64) error {
			var sums [2][32]byte
			for i, f := range files {
				sum := sha256.New()
				if _, err := io.Copy(sum, io.NewSectionReader(f, start, end-start)); err != nil {
					return err
				}
				sums[i] = [32]byte(sum.Sum(nil))
			}
			if sums[0] != sums[1] {
				t.Errorf("%s and %s differ between %d and %d", a, b, start, end)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The same disk gives the same bytes on one core and on many, and wherever its
// file has holes.
func TestReproducible(t *testing.T) {
	d := disks()["64 MiB, mixed"]
	from := write(t, "mixed", d.size, d.data)
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	dense := filepath.Join(t.TempDir(), "dense.raw")
	if err := os.WriteFile(dense, b, 0o666); err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, f := range Formats() {
		runtime.GOMAXPROCS(1)
		first := convert(t, from, f)
		for cores, from := range map[int]string{2: from, 7: dense} {
			runtime.GOMAXPROCS(cores)
			same(t, first, convert(t, from, f))
		}
	}
}

// A format's options are in the file, and nothing else that changes is.
func TestOptions(t *testing.T) {
	from := write(t, "options", 1*mib, []content{{0, 64 * kib, true}})
	for _, name := range []string{"vhd", "vmdk"} {
		f, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		var files [][]byte
		for _, id := range [][16]byte{{}, {1}, {2}} {
			path := filepath.Join(t.TempDir(), "out")
			if err := (Conversion{Input: from, Output: path, Format: f, Options: Options{ID: id}}).Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, b)
		}
		if bytes.Equal(files[0], files[1]) || bytes.Equal(files[1], files[2]) {
			t.Errorf("%s: the ID is not in the file", name)
		}
	}
}

// A disk that cannot be read to its end, and a context that ends, leave nothing.
func TestNothingLeft(t *testing.T) {
	from := write(t, "left", 8*mib, []content{{0, 8 * mib, true}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, f := range Formats() {
		dir := t.TempDir()
		c := Conversion{Input: from, Output: filepath.Join(dir, "out"), Format: f, Progress: func(int64, int64) { cancel() }}
		if err := c.Run(ctx); err == nil {
			t.Errorf("%s: cancelled, and no error", f.Name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", f.Name, left, err)
		}
	}
}

// What the disk's reader reports comes out, with the place.
func TestReadError(t *testing.T) {
	for _, f := range Formats() {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		disk := &raw.Disk{ReaderAt: bytes.NewReader(make([]byte, 3*mib)), Size: 4 * mib}
		if err := f.Write(context.Background(), out, disk, Options{}); err == nil {
			t.Errorf("%s: wrote a disk that ends early", f.Name)
		}
	}
}

func TestForFile(t *testing.T) {
	for in, want := range map[string]string{
		"a.raw": "raw", "a/disk.raw.zst": "raw.zst", "disk.raw.tar.gz": "raw.tar.gz", "x.tar.gz": "raw.tar.gz",
		"x.vhd.tar.gz": "vhd.tar.gz", "x.vhd": "vhd", "x.qcow2": "qcow2", "x.vmdk": "vmdk",
		"x": "", "": "", "x.img": "", "qcow2": "", "x.gz": "",
	} {
		if got, err := ForFile(in); got.Name != want || (err == nil) != (want != "") {
			t.Errorf("ForFile(%q) = %q, %v; want %q", in, got.Name, err, want)
		}
	}
	for _, f := range Formats() {
		if got, err := Named(f.Name); err != nil || got.Name != f.Name {
			t.Errorf("Named(%q) = %q, %v", f.Name, got.Name, err)
		}
	}
	if _, err := Named(""); err == nil {
		t.Error(`Named("") is a format`)
	}
}

// What is written in a format is known for it, and refused where a raw disk is wanted.
func TestDetect(t *testing.T) {
	from := write(t, "detect", 3*mib, []content{{0, 64 * kib, true}})
	outside := map[string]string{"raw.zst": "zstd", "raw.tar.gz": "gzip", "vhd.tar.gz": "gzip", "qcow2-0.10": "qcow2"}
	for _, f := range Formats() {
		file, err := os.Open(convert(t, from, f))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		want := f.Name
		if name, ok := outside[f.Name]; ok {
			want = name
		}
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Detect(file, info.Size()); err != nil || got != want {
			t.Errorf("Detect(%s) = %q, %v; want %q", f.Name, got, err, want)
		}
		if _, err := OpenDisk(file); (err == nil) != (f.Name == "raw") {
			t.Errorf("OpenDisk(%s): %v", f.Name, err)
		}
	}
	for in, want := range map[string]string{
		"": "raw", "Q": "raw", "QFI\xfb": "qcow2", "vhdxfile": "vhdx", "\xfd7zXZ\x00": "xz", string(make([]byte, 257)) + "ustar": "tar", string(make([]byte, 600)): "raw",
	} {
		if got, err := Detect(bytes.NewReader([]byte(in)), int64(len(in))); err != nil || got != want {
			t.Errorf("Detect(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// An ID tells disks apart by what is at their start, and by their size.
func TestIdentity(t *testing.T) {
	seen := map[[16]byte]string{}
	for name, b := range map[string][]byte{"zero": make([]byte, 1*mib), "short": make([]byte, 512), "one": append([]byte{1}, make([]byte, 1*mib-1)...)} {
		id, err := identity(&raw.Disk{ReaderAt: bytes.NewReader(b), Size: int64(len(b))})
		if err != nil || seen[id] != "" || id[6]>>4 != 8 || id[8]>>6 != 2 {
			t.Errorf("identity(%s) = %x, %v; that of %q", name, id, err, seen[id])
		}
		seen[id] = name
	}
}

// A conversion that is going on is not disturbed by another one.
func TestTwoAtOnce(t *testing.T) {
	from := write(t, "two", 1*mib, []content{{0, 1 * mib, true}})
	to := filepath.Join(t.TempDir(), "out.qcow2")
	f, err := ForFile(to)
	if err != nil {
		t.Fatal(err)
	}
	var second error
	first := Conversion{Input: from, Output: to, Format: f}
	other := first
	first.Progress = func(int64, int64) { second = other.Run(context.Background()) }
	if err := first.Run(context.Background()); err != nil || second == nil {
		t.Errorf("the first one: %v; the second one at the same time: %v; want an error", err, second)
	}
}
