package blockdev

import (
	"encoding/binary"
	"testing"
	"testing/fstest"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

func TestDisks(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	sys := fstest.MapFS{
		"block/vdb/size":                    file("2048\n"),
		"block/vdb/queue/partition":         file("7\n"),
		"block/vda/size":                    file("4096\n"),
		"block/vda/vda1/partition":          file("1\n"),
		"block/vda/vda12/partition":         file("12\n"),
		"block/nvme0n1/size":                file("8\n"),
		"block/nvme0n1/nvme0n1p3/partition": file("3\n"),
		"block/sda/size":                    file("0\n"), // a card reader without a card
		"block/loop0/size":                  file("8\n"),
		"block/dm-0/size":                   file("8\n"),
	}
	want := []Disk{
		{"nvme0n1", 4096, map[int]string{3: "nvme0n1p3"}},
		{"vda", 2 << 20, map[int]string{1: "vda1", 12: "vda12"}},
		{"vdb", 1 << 20, map[int]string{}},
	}
	got, err := disks(sys)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("disks: %v (-want +got):\n%s", err, diff)
	}
	if _, err := disks(fstest.MapFS{}); err == nil {
		t.Error("disks without sysfs = nil; want an error")
	}
}

func TestPath(t *testing.T) {
	for name, want := range map[string]string{"vda3": "/dev/vda3", "cciss!c0d0p1": "/dev/cciss/c0d0p1"} {
		if got := Path(name); got != want {
			t.Errorf("Path(%q) = %q; want %q", name, got, want)
		}
	}
}

func TestBlkpgSizes(t *testing.T) {
	if got := binary.Size(blkpgPartition{}); got != 152 || unsafe.Sizeof(blkpgPartition{}) != 152 {
		t.Errorf("size of blkpgPartition = %d, %d; want 152", got, unsafe.Sizeof(blkpgPartition{}))
	}
	if got := unsafe.Sizeof(blkpgArg{}); got != 24 {
		t.Errorf("size of blkpgArg = %d; want 24", got)
	}
}
