package vmdk

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ketch-os/ketch/disk/raw"
)

// written returns a disk of zeros, text and noise, and the file that Write makes of it.
func written(t testing.TB, size int) (disk, file []byte) {
	t.Helper()
	source := rand.New(rand.NewPCG(1, 2))
	disk = make([]byte, size)
	for i := 0; i < len(disk); i += 200_000 {
		run := disk[i:min(i+90_000, len(disk))]
		copy(run, bytes.Repeat([]byte("ketch "), len(run)/6+1))
		for k := range len(run) / 2 {
			run[k] = byte(source.Uint32())
		}
	}
	var b bytes.Buffer
	if err := Write(t.Context(), &b, &raw.Disk{ReaderAt: bytes.NewReader(disk), Size: int64(size)}, [16]byte{1}); err != nil {
		t.Fatal(err)
	}
	return disk, b.Bytes()
}

// Write is held against qemu-img elsewhere; here Open is held against Write.
// The disk is larger than what one grain table maps, and ends inside of a grain.
func TestOpen(t *testing.T) {
	disk, file := written(t, entriesPerTable*GrainSize+GrainSize+3*sectorSize)
	d, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, entriesPerTable*GrainSize - GrainSize} { // on both sides of the second table
		part := disk[at:min(at+4*GrainSize, d.Size)]
		if err := iotest.TestReader(io.NewSectionReader(d, at, int64(len(part))), part); err != nil {
			t.Errorf("from byte %d on: %v", at, err)
		}
	}
	if all, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size)); err != nil || !bytes.Equal(all, disk) {
		t.Errorf("read all: %d bytes, %v; want the disk's %d", len(all), err, len(disk))
	}
	if !strings.Contains(d.Descriptor, `createType="streamOptimized"`) {
		t.Errorf("descriptor %q", d.Descriptor)
	}
}

// Any byte of a grain or of its marker that is changed is noticed, or is of no consequence.
func TestOpenChangedBytes(t *testing.T) {
	disk, file := written(t, 2*GrainSize)
	start := overhead * sectorSize
	for at := start; at < start+2000; at += 7 {
		changed := bytes.Clone(file)
		changed[at] ^= 0x10
		d, err := Open(bytes.NewReader(changed), int64(len(changed)))
		if err != nil {
			continue
		}
		got := make([]byte, len(disk))
		if _, err := d.ReadAt(got, 0); err == nil && !bytes.Equal(got, disk) {
			t.Errorf("byte %d changed: another disk, and no error", at)
		}
	}
}

// FuzzReader reads what may be no VMDK at all: nothing but errors comes of it.
func FuzzReader(f *testing.F) {
	_, file := written(f, GrainSize)
	f.Add(file)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		p := make([]byte, 4096)
		for _, at := range []int64{0, d.Size - 4096, d.Size / 2} {
			_, _ = d.ReadAt(p, max(at, 0))
		}
	})
}
