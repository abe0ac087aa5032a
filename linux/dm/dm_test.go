package dm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSizes(t *testing.T) {
	if got := binary.Size(header{}); got != headerSize {
		t.Errorf("binary.Size(header) = %d; want %d", got, headerSize)
	}
	if got := binary.Size(targetSpec{}); got != specSize {
		t.Errorf("binary.Size(targetSpec) = %d; want %d", got, specSize)
	}
}

// TestIoctlNumber holds the numbers against those strace prints for dmsetup on
// a 64-bit machine.
func TestIoctlNumber(t *testing.T) {
	for cmd, want := range map[uintptr]uintptr{
		cmdDevCreate: 0xc138fd03, cmdDevRemove: 0xc138fd04, cmdDevSuspend: 0xc138fd06,
		cmdTableLoad: 0xc138fd09, cmdTableStatus: 0xc138fd0c,
	} {
		if got := ioctlNumber(cmd); got != want {
			t.Errorf("ioctlNumber(%d) = %#x; want %#x", cmd, got, want)
		}
	}
}

func TestEncode(t *testing.T) {
	payload, err := Target{Length: 8, Type: "verity", Params: "1 /dev/a"}.encode()
	if err != nil {
		t.Fatal(err)
	}
	buf, err := encode(header{Flags: flagReadOnly, TargetCount: 1}, "usr", "U-1", payload)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(
		"04000000 00000000 00000000", // version 4.0.0
		"00400000",                   // data_size 16384
		"38010000",                   // data_start 312
		"01000000", "00000000", "01000000", "00000000", "00000000",
		"0000000000000000", // dev
		hex.EncodeToString([]byte("usr")), strings.Repeat("00", 125),
		hex.EncodeToString([]byte("U-1")), strings.Repeat("00", 126),
		strings.Repeat("00", 7),
		"0000000000000000", "0800000000000000", "00000000", "38000000", // target: start, length, status, next
		hex.EncodeToString([]byte("verity")), strings.Repeat("00", 10),
		hex.EncodeToString([]byte("1 /dev/a")), strings.Repeat("00", 8),
	)
	if diff := cmp.Diff(want, buf[:len(want)]); diff != "" {
		t.Errorf("encode (-want +got):\n%s", diff)
	}
	if len(buf) != bufferSize || bytes.Count(buf[len(want):], []byte{0}) != len(buf)-len(want) {
		t.Errorf("the rest of the buffer is not %d zero bytes", bufferSize-len(want))
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", 128), "a/b"} {
		if _, err := encode(header{}, name, "", nil); err == nil {
			t.Errorf("encode(name %q) = nil; want an error", name)
		}
	}
	if _, err := (Target{Type: "sixteen-bytes-ab"}).encode(); err == nil {
		t.Error("encode of a long target type = nil; want an error")
	}
}

func TestDecodeTargets(t *testing.T) {
	one, err := Target{Length: 8, Type: "verity", Params: "V"}.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeTargets(append(one, make([]byte, 100)...), 1)
	if diff := cmp.Diff([]Target{{Length: 8, Type: "verity", Params: "V"}}, got); diff != "" || err != nil {
		t.Errorf("decodeTargets: %v (-want +got):\n%s", err, diff)
	}
	for _, test := range []struct {
		name    string
		payload []byte
		count   int
	}{
		{"cut short", one[:20], 1},
		{"parameters without end", one[:specSize+1], 1},
		{"second target outside", append(bytes.Clone(one), 0), 2},
	} {
		if _, err := decodeTargets(test.payload, test.count); err == nil {
			t.Errorf("decodeTargets(%s) = nil; want an error", test.name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	one, _ := Target{Length: 8, Type: "verity", Params: "V"}.encode()
	buf, _ := encode(header{TargetCount: 1}, "usr", "", one)
	f.Add(buf)
	f.Fuzz(func(t *testing.T, buf []byte) {
		h, payload, err := decode(buf)
		if err == nil {
			decodeTargets(payload, int(min(h.TargetCount, 64)))
		}
	})
}

func unhex(parts ...string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}
