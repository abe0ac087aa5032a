package image

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
)

// bootPartition is a disk in memory up to and with the boot record.
func bootPartition(t *testing.T) (d *Disk, content []byte) {
	t.Helper()
	table := newTable("1.0", [32]byte{1}, diskSize(), 512)
	p := &table.Partitions[layout.NumBoot-1]
	p.First, p.Last = 0, layout.SizeBoot/512-1 // where it lies does not matter here
	content = make([]byte, layout.SizeBoot)
	return &Disk{Size: diskSize(), Table: table, from: bytes.NewReader(content)}, content
}

type memory []byte

func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }
func (m memory) Sync() error                             { return nil }

func TestBootRecord(t *testing.T) {
	d, content := bootPartition(t)
	v := verification{disk: d}
	if detail, err := v.bootRecord(); detail != "empty" || err != nil || !d.Pristine() {
		t.Errorf("a fresh disk: %q, %v, pristine %v; want empty", detail, err, d.Pristine())
	}
	r := &bootrecord.Record{}
	r.Good(r.Count(verity.RootHash{1}, "1.0", "ketch_1.0"), time.Unix(1, 0))
	if err := r.Write(memory(content)); err != nil {
		t.Fatal(err)
	}
	if detail, err := v.bootRecord(); detail != "generation 1, 1 versions" || err != nil || d.Pristine() {
		t.Errorf("after a start: %q, %v, pristine %v; want generation 1, not pristine", detail, err, d.Pristine())
	}
	if got := v.tries(Entry{RootHash: verity.RootHash{1}}); got != layout.Tries {
		t.Errorf("tries of a version like any other = %d; want %d", got, layout.Tries)
	}
	r.Expect(verity.RootHash{2}, "2.0", "ketch_2.0", 1)
	if err := r.Write(memory(content)); err != nil {
		t.Fatal(err)
	}
	if got := v.tries(Entry{RootHash: verity.RootHash{2}}); got != 1 {
		t.Errorf("tries of an expected version = %d; want 1", got)
	}
	content[layout.SizeBoot-1] = 1
	if _, err := v.bootRecord(); err == nil || !strings.Contains(err.Error(), "partition 7 (ketch_boot): byte 1048575 is not zero") {
		t.Errorf("with a byte beside the copies: %v; want it named", err)
	}
}
