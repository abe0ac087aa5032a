package qcow2

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ketch-os/ketch/disk/raw"
)

// write writes a disk into a file and returns the file and its size.
func write(t testing.TB, disk []byte, version uint32) (*os.File, int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := Write(context.Background(), f, &raw.Disk{ReaderAt: bytes.NewReader(disk), Size: int64(len(disk))}, version); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, info.Size()
}

func TestRecords(t *testing.T) {
	if got := binary.Size(Header{}); got != headerSize {
		t.Errorf("Header has %d bytes; want %d", got, headerSize)
	}
	if got := binary.Size(Extension{}); got != extensionSize {
		t.Errorf("Extension has %d bytes; want %d", got, extensionSize)
	}
}

func TestHeaderGolden(t *testing.T) {
	for version, want := range map[uint32]string{
		2: "514649fb 00000002 0000000000000000 00000000 00000010 0000000004000200 00000000 00000001 0000000000010000 0000000000030000 00000001 00000000 0000000000000000" +
			"0000000000000000 0000000000000000 0000000000000000 00000000 00000000 0000000000000000",
		3: "514649fb 00000003 0000000000000000 00000000 00000010 0000000004000200 00000000 00000001 0000000000010000 0000000000030000 00000001 00000000 0000000000000000" +
			"0000000000000000 0000000000000000 0000000000000000 00000004 00000068 0000000000000000",
	} {
		f, _ := write(t, make([]byte, 64<<20+512), version)
		got := make([]byte, headerSize+extensionSize+8)
		if _, err := f.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if want := bytes.ReplaceAll([]byte(want), []byte(" "), nil); hex.EncodeToString(got) != string(want) {
			t.Errorf("version %d: header\n%x; want\n%s", version, got, want)
		}
	}
}

// mixed makes clusters of every kind: text, random bytes, zeros.
func mixed(clusters int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	disk := make([]byte, clusters*ClusterSize)
	for at := 0; at < len(disk); at += ClusterSize {
		cluster := disk[at : at+ClusterSize]
		switch r.IntN(4) {
		case 0:
			for i := range cluster {
				cluster[i] = byte(r.Uint32())
			}
		case 1:
			for i := range cluster[:r.IntN(ClusterSize)+1] {
				cluster[i] = byte(r.Uint32())
			}
		case 2:
			copy(cluster[r.IntN(ClusterSize):], "a little text")
		}
	}
	return disk
}

// Each cluster of a file has as many references as there are tables and
// descriptors that point at it, and the disk reads back. This is counted
// here from the specification, not with the writer's own arithmetic.
func TestRefcounts(t *testing.T) {
	for seed := range uint64(6) {
		disk := mixed(200, seed)[:200*ClusterSize-512*int(seed)]
		f, size := write(t, disk, Version3)
		r, err := Open(f, size)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(disk))
		if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, disk) {
			t.Fatalf("seed %d: the disk does not read back: %v", seed, err)
		}
		if compressed, plain, err := r.Clusters(); err != nil || compressed == 0 || plain == 0 || compressed+plain > 180 {
			t.Errorf("seed %d: Clusters() = %d, %d, %v; want some of each, and none for zeros", seed, compressed, plain, err)
		}
		counted, stored := countReferences(t, r, size), storedReferences(t, f, r.Header, size)
		for i := range counted {
			if counted[i] != stored[i] {
				t.Errorf("seed %d: cluster %d has %d references and says %d", seed, i, counted[i], stored[i])
			}
		}
	}
}

func countReferences(t *testing.T, r *Reader, size int64) []int {
	counts := make([]int, size/ClusterSize)
	add := func(offset, length uint64) {
		for c := offset / ClusterSize; c <= (offset+length-1)/ClusterSize; c++ {
			counts[c]++
		}
	}
	add(0, ClusterSize)
	add(r.Header.L1TableOffset, uint64(r.Header.L1Size)*8)
	add(r.Header.RefcountTableOffset, uint64(r.Header.RefcountTableClusters)*ClusterSize)
	table := make([]uint64, r.Header.RefcountTableClusters*entriesPerTable)
	if err := r.readTable(table, r.Header.RefcountTableOffset); err != nil {
		t.Fatal(err)
	}
	for _, block := range table {
		if block != 0 {
			add(block, ClusterSize)
		}
	}
	for i, l1 := range r.l1 {
		if l1 == 0 {
			continue
		}
		add(l1&offsetMask, ClusterSize)
		for k := range uint64(entriesPerTable) {
			entry, err := r.entry(uint64(i)*entriesPerTable + k)
			if err != nil {
				t.Fatal(err)
			}
			if entry&flagCompressed != 0 {
				offset, sectors := entry&(1<<54-1), entry>>54&0xff+1
				add(offset&^511, sectors*512)
			} else if entry != 0 {
				add(entry&offsetMask, ClusterSize)
			}
		}
	}
	return counts
}

func storedReferences(t *testing.T, f *os.File, h Header, size int64) []int {
	var counts []int
	var block [8]byte
	for i := int64(0); i < size/ClusterSize; i++ {
		if _, err := f.ReadAt(block[:], int64(h.RefcountTableOffset)+i/refcountsPer*8); err != nil {
			t.Fatal(err)
		}
		var count [2]byte
		if _, err := f.ReadAt(count[:], int64(binary.BigEndian.Uint64(block[:]))+i%refcountsPer*2); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, int(binary.BigEndian.Uint16(count[:])))
	}
	return counts
}

// The refcount blocks and their table count themselves, whatever the number of
// clusters before them.
func TestRefcountBlocks(t *testing.T) {
	for _, used := range []int{3, refcountsPer - 3, refcountsPer - 2, refcountsPer - 1, refcountsPer, 3*refcountsPer - 4, 3*refcountsPer - 3} {
		f := &file{w: discard{}, refcounts: make([]uint16, used)}
		table, clusters, err := f.writeRefcounts()
		if err != nil {
			t.Fatal(err)
		}
		blocks := table/ClusterSize - int64(used)
		if total := int64(len(f.refcounts)); total != int64(used)+blocks+clusters || blocks*refcountsPer < total || (blocks-1)*refcountsPer >= total || clusters != 1 {
			t.Errorf("%d clusters: %d refcount blocks, %d clusters of table, %d in all", used, blocks, clusters, total)
		}
	}
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Compressed clusters lie one behind the other, wherever plain ones come between.
func TestPlace(t *testing.T) {
	f := newFile(discard{}, 1<<30, Version2)
	for i, step := range []struct {
		length, want int64 // in and behind cluster 2; a length of a whole cluster is plain
	}{
		{100, 0}, {1000, 100}, {ClusterSize - 1100, 1100}, // to the last byte
		{10, ClusterSize},
		{ClusterSize - 5, ClusterSize + 10}, // into the next cluster, which nobody has
		{ClusterSize, 3 * ClusterSize},
		{ClusterSize - 1, 4 * ClusterSize}, // not into a plain one
		{10, 5*ClusterSize - 1},
		{ClusterSize, 6 * ClusterSize},
	} {
		at := f.end()
		if step.length == ClusterSize {
			f.allocate(1)
		} else {
			at, _ = f.place(step.length)
		}
		if at -= 2 * ClusterSize; at != step.want {
			t.Errorf("step %d: %d bytes at %d; want %d", i, step.length, at, step.want)
		}
	}
	if got, want := fmt.Sprint(f.refcounts), "[1 1 3 2 1 1 2 1 1]"; got != want {
		t.Errorf("refcounts %s; want %s", got, want)
	}
}

func TestReadHeader(t *testing.T) {
	f, size := write(t, make([]byte, 1<<20), Version2)
	good := make([]byte, size)
	if _, err := f.ReadAt(good, 0); err != nil {
		t.Fatal(err)
	}
	h, x, err := ReadHeader(bytes.NewReader(good), size)
	if err != nil || h.Size != 1<<20 || x.RefcountOrder != 4 {
		t.Errorf("ReadHeader = %+v, %+v, %v", h, x, err)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"cut":             func(b []byte) []byte { return b[:71] },
		"tables cut":      func(b []byte) []byte { return b[:ClusterSize] },
		"magic":           func(b []byte) []byte { b[3]++; return b },
		"version 1":       func(b []byte) []byte { b[7] = 1; return b },
		"version 4":       func(b []byte) []byte { b[7] = 4; return b },
		"cluster bits 0":  func(b []byte) []byte { b[23] = 0; return b },
		"cluster bits 63": func(b []byte) []byte { b[23] = 63; return b },
		"size":            func(b []byte) []byte { b[24] = 0x7f; return b },
		"no L1":           func(b []byte) []byte { b[39] = 0; return b },
		"L1 far away":     func(b []byte) []byte { b[40] = 0xff; return b },
		"L1 unaligned":    func(b []byte) []byte { b[47] = 8; return b },
		"refcounts":       func(b []byte) []byte { b[56] = 0xff; return b },
	} {
		b := change(bytes.Clone(good))
		if _, _, err := ReadHeader(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, test := range []struct {
		size    int64
		version uint32
	}{{512, 1}, {512, 4}, {1000, 3}, {0, 3}, {maxDisk + 512, 3}} {
		disk := &raw.Disk{ReaderAt: bytes.NewReader(make([]byte, 4096)), Size: test.size}
		if err := Write(context.Background(), discard{}, disk, test.version); err == nil {
			t.Errorf("a disk of %d bytes was written as version %d", test.size, test.version)
		}
	}
}
