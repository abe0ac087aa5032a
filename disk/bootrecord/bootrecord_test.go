package bootrecord

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/verity"
)

const partitionSize = 1 << 20

// medium is a partition in memory that loses power after a number of bytes.
type medium struct {
	data []byte
	left int
}

func newMedium() *medium { return &medium{make([]byte, partitionSize), partitionSize} }

var errPower = errors.New("no power")

func (m *medium) ReadAt(p []byte, at int64) (int, error) { return copy(p, m.data[at:]), nil }

func (m *medium) WriteAt(p []byte, at int64) (int, error) {
	n := copy(m.data[at:], p[:min(len(p), m.left)])
	if m.left -= n; n < len(p) {
		return n, errPower
	}
	return n, nil
}

func (m *medium) Sync() error { return nil }

func key(n byte) verity.RootHash { return verity.RootHash{0: n, 31: 0xee} }

// sample is a record with something in every field.
func sample() *Record {
	r := &Record{Generation: 6, Floor: "0.9", Asked: key(1), AskedFor: key(2)}
	r.Good(r.Count(key(1), "1.0", "ketch_1.0"), time.Unix(1_800_000_000, 0))
	for range 3 {
		r.Count(key(2), "2.0-rc1", "ketch_2.0-rc1").Fail("slot: no disk has it – ü", time.Unix(1_800_000_900, 0))
	}
	r.Find(key(2)).Tries = 5
	r.Count(key(3), "0.8", "ketch_0.8").Revoke()
	return r
}

func TestSizes(t *testing.T) {
	for _, test := range []struct {
		record any
		want   int
	}{{header{}, 128}, {version{}, 496}, {[MaxVersions]version{}, CopySize - 128}} {
		if got := binary.Size(test.record); got != test.want {
			t.Errorf("size of %T = %d; want %d", test.record, got, test.want)
		}
	}
}

// dump shows bytes without the lines that are all zero.
func dump(data []byte) string {
	var lines strings.Builder
	for line := range strings.Lines(hex.Dump(data)) {
		if !strings.Contains(line, "|................|") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// The bytes that docs/boot-record.md describes.
func TestGolden(t *testing.T) {
	got, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "sample.hex")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(dump(got)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), dump(got)); diff != "" {
		t.Errorf("Encode (-want +got):\n%s", diff)
	}
	// What a second implementation reads at the documented offsets.
	for at, want := range map[int]uint64{
		8: 1, 24: 3, 128 + 120: 1, 128 + 160: 1, // revoked
		128 + 496 + 120: 3, 128 + 496 + 128: 3, 128 + 496 + 132: 5, 128 + 496 + 160: 0,
		128 + 2*496 + 120: 1, 128 + 2*496 + 124: 1, 128 + 2*496 + 128: 0,
	} {
		if n := binary.LittleEndian.Uint32(got[at:]); uint64(n) != want {
			t.Errorf("number at %d = %d; want %d", at, n, want)
		}
	}
	sum := binary.LittleEndian.Uint32(got[12:])
	clear(got[12:16])
	if want := crc32.Checksum(got, crc32.MakeTable(crc32.Castagnoli)); sum != want {
		t.Errorf("checksum = %08x; want %08x", sum, want)
	}
}

func TestDecode(t *testing.T) {
	want := sample()
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Decode(Encode): %v (-want +got):\n%s", err, diff)
	}
	for at := range data {
		data[at] ^= 0x20
		if _, err := Decode(data); err == nil {
			t.Errorf("Decode with byte %d changed = nil; want an error", at)
		}
		data[at] ^= 0x20
	}
	if _, err := Decode(data[:CopySize-1]); err == nil {
		t.Error("Decode of a short copy = nil; want an error")
	}
}

func TestEncodeRefuses(t *testing.T) {
	for want, r := range map[string]*Record{
		"at most 8 fit": {Versions: make([]Version, 9)},
		"twice":         {Versions: make([]Version, 2)},
		"text":          {Floor: strings.Repeat("1", MaxName+1)},
		"without NUL":   {Versions: []Version{{Name: "1\x00"}}},
		"UTF-8":         {Versions: []Version{{Words: "\xff"}}},
		"time -1":       {Versions: []Version{{FailTime: -1}}},
		"time 9223372":  {Versions: []Version{{GoodTime: math.MaxInt64}}},
	} {
		if _, err := r.Encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Encode = %v; want an error with %q", err, want)
		}
	}
}

// TestCutWrites loses power after every byte of a write: there is always a whole
// record, the older or the newer one.
func TestCutWrites(t *testing.T) {
	before := newMedium()
	r := &Record{}
	for range 5 {
		r.Count(key(1), "1.0", "ketch_1.0")
		if err := r.Write(before); err != nil {
			t.Fatal(err)
		}
	}
	m := newMedium()
	for cut := 0; cut <= CopySize; cut++ {
		for _, at := range []int{0, copyDistance} {
			copy(m.data[at:], before.data[at:at+CopySize])
		}
		m.left = cut
		next, err := Read(m)
		if err != nil {
			t.Fatal(err)
		}
		next.Count(key(2), "2.0", "ketch_2.0")
		err = next.Write(m)
		if (err != nil) != (cut < CopySize) {
			t.Fatalf("Write with %d bytes of power = %v", cut, err)
		}
		got, readErr := Read(m)
		if readErr != nil {
			t.Fatalf("after %d bytes: %v", cut, readErr)
		}
		// All bytes may be there although the write was cut: what is left is zero.
		old, whole := got.Generation == 5 && len(got.Versions) == 1, got.Generation == 6 && len(got.Versions) == 2
		if !old && !whole || err == nil && !whole {
			t.Fatalf("after %d bytes: generation %d with %d versions", cut, got.Generation, len(got.Versions))
		}
		m.left = CopySize // the next start
		if err := got.Write(m); err != nil {
			t.Fatal(err)
		}
		if again, err := Read(m); err != nil || again.Generation != got.Generation {
			t.Fatalf("after %d bytes and another write: %v, %v; want generation %d", cut, again, err, got.Generation)
		}
	}
}

func TestRead(t *testing.T) {
	m := newMedium()
	if r, err := Verify(m, partitionSize); err != nil || r.Generation != 0 || len(r.Versions) != 0 {
		t.Errorf("Verify of zeros = %+v, %v; want an empty record", r, err)
	}
	r := sample()
	for want := uint64(7); want < 10; want++ {
		if err := r.Write(m); err != nil {
			t.Fatal(err)
		}
		got, err := Verify(m, partitionSize)
		if diff := cmp.Diff(r, got); err != nil || diff != "" || got.Generation != want {
			t.Errorf("Verify: %v, generation %d, want %d (-want +got):\n%s", err, got.Generation, want, diff)
		}
	}
	m.data[copyDistance+100] ^= 1 // generation 9
	if got, err := Read(m); err != nil || got.Generation != 8 {
		t.Errorf("Read with the newer copy damaged: %v, %v; want generation 8", got, err)
	}
	copy(m.data, m.data[copyDistance:copyDistance+CopySize])
	if got, err := Read(m); !errors.Is(err, ErrDamaged) || got == nil || got.Generation != 0 {
		t.Errorf("Read with both copies damaged: %v, %v; want ErrDamaged and an empty record", got, err)
	}
}

func TestReadRefusesTheWrongCopy(t *testing.T) {
	m := newMedium()
	data, err := (&Record{Generation: 4}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	copy(m.data[copyDistance:], data)
	if _, err := Read(m); !errors.Is(err, ErrDamaged) {
		t.Errorf("Read with generation 4 in copy 1 = %v; want ErrDamaged", err)
	}
}

// TestCountingGoesOn: a record that claims the largest generation there is, as only
// somebody who can write the disk makes one, is followed by others, in both copies.
func TestCountingGoesOn(t *testing.T) {
	for _, claimed := range []uint64{math.MaxUint64 - 1, math.MaxUint64} {
		m := newMedium()
		r := &Record{Generation: claimed - 1}
		r.Good(r.Count(key(1), "1.0", "ketch_1.0"), time.Unix(10, 0))
		if err := r.Write(m); err != nil || r.Generation != claimed {
			t.Fatalf("Write = %v, generation %d; want %d", err, r.Generation, claimed)
		}
		for n := uint32(1); n < 9; n++ {
			next, err := Read(m)
			if err != nil {
				t.Fatal(err)
			}
			if next.Count(key(2), "2.0", "ketch_2.0").Attempts != n {
				t.Fatalf("start %d after generation %d is not counted: generation %d is read", n, claimed, next.Generation)
			}
			if err := next.Write(m); err != nil || next.Generation == 0 {
				t.Fatalf("Write = %v, generation %d", err, next.Generation)
			}
		}
		last, err := Read(m)
		if err != nil {
			t.Fatal(err)
		}
		last.Good(last.Find(key(2)), time.Unix(20, 0))
		if good := last.LastGood(func(Version) bool { return true }); good.Name != "2.0" {
			t.Errorf("after generation %d the last good version is %s; want 2.0", claimed, good.Name)
		}
	}
}

// TestTimes: whatever the clock says, the record that has it is read again.
func TestTimes(t *testing.T) {
	for _, now := range []time.Time{{}, time.Unix(-1, 0), time.Unix(math.MaxInt64/4, 0)} {
		r := &Record{}
		v := r.Count(key(1), "1.0", "ketch_1.0")
		r.Good(v, now)
		v.Fail("words", now)
		data, err := r.Encode()
		if err == nil {
			_, err = Decode(data)
		}
		if err != nil {
			t.Errorf("a record of %v: %v", now, err)
		}
	}
}

func TestVerifyFindsAnyByte(t *testing.T) {
	m := newMedium()
	for _, at := range []int{0, 1, CopySize - 1, CopySize, copyDistance - 1, copyDistance, copyDistance + CopySize, partitionSize - 1} {
		m.data[at] = 0x80
		if _, err := Verify(m, partitionSize); err == nil {
			t.Errorf("Verify with byte %d changed = nil; want an error", at)
		}
		m.data[at] = 0
	}
}

func TestCount(t *testing.T) {
	r := &Record{}
	r.Good(r.Count(key(1), "1.0", "ketch_1.0"), time.Unix(10, 0))
	for n := range 3 {
		v := r.Count(key(2), "2.0", "ketch_2.0")
		if v.Attempts != uint32(n+1) || v.Words != Silent || v != r.Find(key(2)) {
			t.Errorf("start %d: %+v", n+1, v)
		}
		v.Fail("words", time.Unix(20, 0))
	}
	if got := r.LastGood(func(Version) bool { return true }); got == nil || got.Name != "1.0" {
		t.Errorf("LastGood = %+v; want 1.0", got)
	}
	if got := r.LastGood(func(v Version) bool { return v.RootHash != key(1) }); got != nil {
		t.Errorf("LastGood other than 1.0 = %+v; want none: 2.0 was never good", got)
	}
	r.Generation = 41
	r.Good(r.Find(key(2)), time.Unix(30, 0))
	want := Version{RootHash: key(2), Name: "2.0", Entry: "ketch_2.0", Starts: 3, Goods: 1, LastGood: 42, GoodTime: 30}
	if diff := cmp.Diff(&want, r.LastGood(func(Version) bool { return true })); diff != "" {
		t.Errorf("LastGood (-want +got):\n%s", diff)
	}
	full := Version{Starts: 1<<32 - 1}
	if got := increment(full.Starts); got != full.Starts {
		t.Errorf("increment of the largest number = %d", got)
	}
}

// Nothing leads back to a version that was revoked, until it is good once more.
func TestRevoke(t *testing.T) {
	r := &Record{}
	r.Good(r.Count(key(1), "1.0", "ketch_1.0"), time.Unix(10, 0))
	r.Count(key(2), "2.0", "ketch_2.0")
	v := r.Find(key(1))
	v.Revoke()
	want := Version{RootHash: key(1), Name: "1.0", Entry: "ketch_1.0", Starts: 1, Goods: 1, Revoked: true}
	if diff := cmp.Diff(&want, v); diff != "" || v.EverGood() {
		t.Errorf("revoked (-want +got):\n%s", diff)
	}
	if got := r.LastGood(func(Version) bool { return true }); got != nil {
		t.Errorf("LastGood = %+v; want none", got)
	}
	if v = r.Count(key(1), "1.0", "ketch_1.0"); !v.Revoked {
		t.Error("a start has taken the revocation back")
	}
	if r.Good(v, time.Unix(20, 0)); v.Revoked || !v.EverGood() {
		t.Errorf("good again: %+v", v)
	}
}

// An expected version has its tries ahead, and stands behind the one that runs.
func TestExpect(t *testing.T) {
	r := &Record{}
	r.Good(r.Count(key(1), "1.0", "ketch_1.0"), time.Unix(10, 0))
	r.Count(key(2), "2.0", "ketch_2.0").Fail("words", time.Unix(20, 0))
	r.Find(key(2)).Revoke()
	r.Count(key(1), "1.0", "ketch_1.0")
	r.Expect(key(3), "3.0", "ketch_3.0", 2)
	r.Expect(key(2), "2.0", "ketch_2.0", 1) // once more
	want := []Version{
		{RootHash: key(1), Name: "1.0", Entry: "ketch_1.0", Starts: 2, Goods: 1, Attempts: 1, LastGood: 1, GoodTime: 10, Words: Silent},
		{RootHash: key(2), Name: "2.0", Entry: "ketch_2.0", Starts: 1, Tries: 1},
		{RootHash: key(3), Name: "3.0", Entry: "ketch_3.0", Tries: 2},
	}
	if diff := cmp.Diff(want, r.Versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	for n := byte(10); n < 30; n++ {
		r.Expect(key(n), "x", "ketch_x", 1)
	}
	if r.Versions[0].RootHash != key(1) || len(r.Versions) != MaxVersions {
		t.Errorf("after many: %d versions, the first is %s; want the one that runs", len(r.Versions), r.Versions[0].Name)
	}
	empty := &Record{}
	if empty.Expect(key(1), "1.0", "ketch_1.0", 3); len(empty.Versions) != 1 {
		t.Errorf("expected by an empty record: %+v", empty.Versions)
	}
}

// However many versions come, the last good one is remembered.
func TestCountForgetsTheOldest(t *testing.T) {
	r := &Record{}
	r.Good(r.Count(key(0), "0", "ketch_0"), time.Unix(0, 0))
	for n := byte(1); n < 20; n++ {
		name := fmt.Sprint(n)
		r.Count(key(n), name, "ketch_"+name)
	}
	var names []string
	for _, v := range r.Versions {
		names = append(names, v.Name)
	}
	if diff := cmp.Diff([]string{"19", "18", "17", "16", "15", "14", "13", "0"}, names); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if _, err := r.Encode(); err != nil {
		t.Error(err)
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "abcdef": "abcd", "abcü": "abc", "ab\x00c": "ab c", "a\xffb": "a?b"} {
		if got := cut(in, 4); got != want {
			t.Errorf("cut(%q) = %q; want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(make([]byte, CopySize))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == CopySize { // a checksum that matches lets the fuzzer see the rest
			binary.LittleEndian.PutUint32(data[12:], crcOf(data))
		}
		r, err := Decode(data)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil || string(again) != string(data) {
			t.Errorf("Encode(Decode) gives other bytes: %v", err)
		}
		r.Count(key(1), "1", "ketch_1").Fail("words", time.Unix(0, 0))
		r.Expect(key(4), "4", "ketch_4", 1)
		r.Versions[0].Revoke()
		if _, err := r.Encode(); err != nil {
			t.Error(err)
		}
	})
}
