package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
)

// UAPI.2: the two halves of the root hash, in the order of the text.
func TestSlotIDs(t *testing.T) {
	root, err := verity.ParseRootHash("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	usr, hash := SlotIDs(root)
	if got, want := usr.String()+" "+hash.String(), "00010203-0405-0607-0809-0a0b0c0d0e0f 10111213-1415-1617-1819-1a1b1c1d1e1f"; got != want {
		t.Errorf("SlotIDs = %s; want %s", got, want)
	}
}

func TestPlace(t *testing.T) {
	root := verity.RootHash{0: 1, 16: 2}
	usr, hash := SlotIDs(root)
	kind := gpt.MustParseGUID(layout.TypeState)
	table := &gpt.Table{Partitions: make([]gpt.Partition, layout.NumState)}
	for i := range table.Partitions {
		table.Partitions[i].Type = kind
	}
	Place(table, layout.Slots()[1], "2.0", root)
	want := make([]gpt.Partition, layout.NumState)
	for i := range want {
		want[i].Type = kind
	}
	want[layout.NumUsrB-1] = gpt.Partition{Type: kind, Name: "ketch_2.0", ID: usr}
	want[layout.NumVerityB-1] = gpt.Partition{Type: kind, Name: "ketch_2.0_verity", ID: hash}
	if diff := cmp.Diff(want, table.Partitions); diff != "" {
		t.Errorf("Place (-want +got):\n%s", diff)
	}
}

func TestInfo(t *testing.T) {
	want := &Info{
		Name: "Test", Version: "1.0", Released: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Platform: "qemu",
		Kernel: Kernel{"6.1.0", "linux 6.1"}, Images: []Input{{"oci:x", "sha256:1", []string{"sha256:2"}}}, ESP: map[string]string{"a": "b"},
	}
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeInfo(data)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("DecodeInfo: %v (-want +got):\n%s", err, diff)
	}
	if later, err := DecodeInfo([]byte(`{"version": "9", "new": {}}`)); err != nil || later.Version != "9" {
		t.Errorf("with a field of a later version: %v, %v", later, err)
	}
	for _, bad := range []string{"", "{", "[]", `{"version": 1}`} {
		if info, err := DecodeInfo([]byte(bad)); err == nil {
			t.Errorf("DecodeInfo(%q) = %v; want an error", bad, info)
		}
	}
}
