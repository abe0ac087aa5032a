package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/verity"
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
