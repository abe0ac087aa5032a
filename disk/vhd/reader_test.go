package vhd

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/ketch-os/ketch/internal/testkit"
)

// TestOpenReadsWhatQEMUWrites compares with qemu-img.
func TestOpenReadsWhatQEMUWrites(t *testing.T) {
	tool := testkit.Tool(t, "qemu-img")
	source := rand.New(rand.NewPCG(1, 2))
	disk := make([]byte, 9<<20+4096)
	for i := range 4 << 20 {
		disk[i+1<<20] = byte(source.Uint32())
	}
	disk[len(disk)-1] = 1
	from := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(from, disk, 0o666); err != nil {
		t.Fatal(err)
	}
	for kind, subformat := range map[uint32]string{Fixed: "fixed", Dynamic: "dynamic"} {
		to := filepath.Join(t.TempDir(), "disk.vhd")
		out, err := exec.Command(tool, "convert", "-O", "vpc", "-o", "force_size=on,subformat="+subformat, from, to).CombinedOutput()
		if err != nil {
			t.Fatalf("qemu-img: %v\n%s", err, out)
		}
		file, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatalf("Open(%s) = %v", subformat, err)
		}
		if d.Footer.DiskType != kind || d.Footer.CurrentSize != uint64(len(disk)) {
			t.Errorf("%s: type %d, %d bytes; want %d, %d", subformat, d.Footer.DiskType, d.Footer.CurrentSize, kind, len(disk))
		}
		if all, err := io.ReadAll(io.NewSectionReader(d, 0, int64(len(disk)))); err != nil || !bytes.Equal(all, disk) {
			t.Errorf("%s: read all: %d bytes, %v; want the disk's %d", subformat, len(all), err, len(disk))
		}
		if err := iotest.TestReader(io.NewSectionReader(d, 1<<20, 1<<18), disk[1<<20:1<<20+1<<18]); err != nil {
			t.Errorf("%s: %v", subformat, err)
		}
	}
}

// FuzzReader reads what may be no VHD at all: nothing but errors comes of it.
func FuzzReader(f *testing.F) {
	footer := newFooter(BlockSize, Dynamic, Options{})
	header := Header{Cookie: cookieDynamic, DataOffset: noNextHeader, TableOffset: tableOffset, Version: version, MaxTableEntries: 1, BlockSize: BlockSize}
	f.Add(append(append(append(footer.encode(), header.encode()...), 0, 0, 0, 5), footer.encode()...))
	f.Add(append(make([]byte, 512), newFooter(512, Fixed, Options{}).encode()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		p := make([]byte, 4096)
		for _, at := range []int64{0, int64(d.Footer.CurrentSize) - 4096, int64(d.Footer.CurrentSize) / 2} {
			_, _ = d.ReadAt(p, max(at, 0))
		}
	})
}
