package qcow2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/ketch-os/ketch/internal/testkit"
)

// testDisk is a disk of zeros, text and noise, in runs that cross clusters.
func testDisk() []byte {
	source := rand.New(rand.NewPCG(1, 2))
	disk := make([]byte, 3<<20+512)
	for i := 0; i < len(disk); i += 100_000 {
		run := disk[i:min(i+70_000, len(disk))]
		switch source.IntN(3) {
		case 0:
			copy(run, bytes.Repeat([]byte("ketch "), len(run)/6+1))
		case 1:
			for k := range run {
				run[k] = byte(source.Uint32())
			}
		}
	}
	return disk
}

// TestOpenReadsWhatQEMUWrites compares with qemu-img, over what it can vary.
func TestOpenReadsWhatQEMUWrites(t *testing.T) {
	tool := testkit.Tool(t, "qemu-img")
	disk := testDisk()
	from := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(from, disk, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"compat=0.10", "compat=1.1", "compat=0.10,cluster_size=512", "compat=1.1,cluster_size=4096", "compat=1.1,cluster_size=2M", "compat=1.1,lazy_refcounts=on"} {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,%v", options, compress), func(t *testing.T) {
				to := filepath.Join(t.TempDir(), "disk.qcow2")
				args := []string{"convert", "-O", "qcow2", "-o", options, from, to}
				if compress {
					args = append(args, "-c")
				}
				if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
					t.Fatalf("qemu-img: %v\n%s", err, out)
				}
				d := openFile(t, to)
				if all, err := io.ReadAll(io.NewSectionReader(d, 0, int64(d.Header.Size))); err != nil || !bytes.Equal(all, disk) {
					t.Errorf("read all: %d bytes, %v; want the disk's %d", len(all), err, len(disk))
				}
				if err := iotest.TestReader(io.NewSectionReader(d, 1<<20, 1<<18), disk[1<<20:1<<20+1<<18]); err != nil {
					t.Error(err)
				}
				compressed, plain, err := d.Clusters()
				if err != nil || compressed+plain == 0 || (compressed > 0) != compress {
					t.Errorf("Clusters() = %d, %d, %v; compressed ones: want %v", compressed, plain, err, compress)
				}
			})
		}
	}
}

func openFile(t *testing.T, path string) *Reader {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A disk that is not all in the file is refused.
func TestOpenRefuses(t *testing.T) {
	tool := testkit.Tool(t, "qemu-img")
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"backing file": {"-b", "base.qcow2", "-F", "qcow2"},
		// Not LUKS: to make its key, qemu-img measures the processor, and fails on a busy one.
		"encrypted":    {"--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"},
		"incompatible": {"-o", "extended_l2=on"},
	} {
		path := filepath.Join(dir, name+".qcow2")
		if out, err := exec.Command(tool, "create", "-q", "-f", "qcow2", filepath.Join(dir, "base.qcow2"), "1M").CombinedOutput(); err != nil {
			t.Fatalf("qemu-img: %v\n%s", err, out)
		}
		if out, err := exec.Command(tool, append(append([]string{"create", "-q", "-f", "qcow2"}, args...), path, "1M")...).CombinedOutput(); err != nil {
			t.Fatalf("qemu-img: %v\n%s", err, out)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(bytes.NewReader(data), int64(len(data))); err == nil || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("Open(%s) = %v; want an error that says so", name, err)
		}
	}
}

// FuzzReader reads what may be no qcow2 at all: nothing but errors comes of it.
func FuzzReader(f *testing.F) {
	h := Header{Magic: magic, Version: Version2, ClusterBits: 9, Size: 2048, L1Size: 1, L1TableOffset: 512, RefcountTableOffset: 1024, RefcountTableClusters: 1}
	file := make([]byte, 4096)
	copy(file, encode(h))
	copy(file[512:], encode(uint64(1536)))
	copy(file[1536:], encode(uint64(2048), uint64(flagCompressed|2560), uint64(0), uint64(1)))
	f.Add(file)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		p := make([]byte, 4096)
		for _, at := range []int64{0, int64(d.Header.Size) - 4096, int64(d.Header.Size) / 2} {
			_, _ = d.ReadAt(p, max(at, 0))
		}
	})
}
