package verity

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerify(t *testing.T) {
	for _, blocks := range []int{1, 2, 127, 128, 129, 300, 128*128 + 1} {
		data := pattern(blocks)
		for _, p := range []Params{{}, testParams} {
			hash, root := build(t, data, p)
			if err := Verify(bytes.NewReader(data), hash, root); err != nil {
				t.Errorf("Verify(%d blocks, salt of %d) = %v", blocks, len(p.Salt), err)
			}
		}
	}
}

// TestVerifyNamesTheBlock flips one bit in each block of both devices in turn.
func TestVerifyNamesTheBlock(t *testing.T) {
	for _, blocks := range []int{1, 2, 129, 300} {
		data := pattern(blocks)
		hash, root := build(t, data, testParams)
		for i := range blocks {
			data[i*BlockSize+i%BlockSize] ^= 1
			wantCorrupt(t, Verify(bytes.NewReader(data), hash, root), "data", uint64(i))
			data[i*BlockSize+i%BlockSize] ^= 1
		}
		for i := range len(hash.data) / BlockSize {
			hash.data[i*BlockSize+4000] ^= 1 // the padding of most hash blocks
			wantCorrupt(t, Verify(bytes.NewReader(data), hash, root), "hash", uint64(i))
			hash.data[i*BlockSize+4000] ^= 1
		}
	}
}

func wantCorrupt(t *testing.T, err error, area string, block uint64) {
	t.Helper()
	var got *CorruptError
	if !errors.As(err, &got) {
		t.Errorf("Verify = %v; want a CorruptError in %s block %d", err, area, block)
		return
	}
	if diff := cmp.Diff(CorruptError{area, block, got.Reason}, *got); diff != "" {
		t.Errorf("Verify (-want +got):\n%s", diff)
	}
}

func TestVerifyNamesTheFirstBlock(t *testing.T) {
	data := pattern(128*20 + 5)
	hash, root := build(t, data, Params{})
	for _, i := range []int{2500, 1900, 700, 130, 129} {
		data[i*BlockSize] ^= 1
	}
	for range 20 { // the cores race, the answer must not
		wantCorrupt(t, Verify(bytes.NewReader(data), hash, root), "data", 129)
	}
}

// TestVerifyWrongShape changes what the root hash does not cover directly.
func TestVerifyWrongShape(t *testing.T) {
	data := pattern(130)
	for _, c := range []struct {
		name   string
		offset int
		value  byte
		area   string
		block  uint64
	}{
		{"a data block less", 72, 129, "hash", 3},
		{"a data block more", 72, 131, "", 0}, // there is no such block to read
		{"a level less", 72, 128, "data", 0},  // the top block passes for a leaf
		{"another salt", 88, 'x', "hash", 1},
	} {
		hash, root := build(t, data, testParams)
		hash.data[c.offset] = c.value
		err := Verify(bytes.NewReader(data), hash, root)
		switch {
		case c.area != "":
			wantCorrupt(t, err, c.area, c.block)
		case err == nil:
			t.Errorf("Verify(%s) gave no error", c.name)
		}
	}
	hash, root := build(t, data, testParams)
	longer := append(bytes.Clone(data), make([]byte, BlockSize)...)
	hash.data[72] = 131
	wantCorrupt(t, Verify(bytes.NewReader(longer), hash, root), "data", 130)
	root[5] ^= 1
	wantCorrupt(t, Verify(bytes.NewReader(data), hash, root), "hash", 1)
}

func TestVerifyShortDevices(t *testing.T) {
	data := pattern(300)
	hash, root := build(t, data, Params{})
	for _, cut := range []int{1, BlockSize, len(data)} {
		if err := Verify(bytes.NewReader(data[:len(data)-cut]), hash, root); err == nil {
			t.Errorf("Verify(data without its last %d bytes) gave no error", cut)
		}
	}
	for cut := BlockSize; cut <= len(hash.data); cut += BlockSize {
		if err := Verify(bytes.NewReader(data), bytes.NewReader(hash.data[:len(hash.data)-cut]), root); err == nil {
			t.Errorf("Verify(hash without its last %d bytes) gave no error", cut)
		}
	}
}

func FuzzReadSuperblock(f *testing.F) {
	for _, p := range []Params{{}, testParams} {
		hash, _ := build(f, pattern(2), p)
		f.Add(hash.data[:superblockSize])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ReadSuperblock(bytes.NewReader(raw))
		if err != nil {
			return
		}
		again, err := newSuperblock(s.DataBlocks, Params{s.UUID, s.Salt()})
		if err != nil || *again != *s {
			t.Errorf("ReadSuperblock accepted %+v, which cannot be made: %v", s, err)
		}
		block, err := s.block()
		if err != nil || !bytes.Equal(block[:superblockSize], raw[:superblockSize]) {
			t.Errorf("superblock does not come back as it was read: %v", err)
		}
	})
}

// FuzzVerify overwrites a few bytes of a hash device. Verify must accept only the true one.
func FuzzVerify(f *testing.F) {
	data := pattern(130)
	hash, root := build(f, data, Params{})
	f.Add(uint16(0), []byte{})
	f.Add(uint16(76), []byte{1}) // 2^32 data blocks more
	f.Add(uint16(BlockSize), []byte{1})
	f.Fuzz(func(t *testing.T, offset uint16, edit []byte) {
		device := bytes.Clone(hash.data)
		copy(device[min(int(offset), len(device)):], edit)
		err := Verify(bytes.NewReader(data), bytes.NewReader(device), root)
		if err == nil && !sameButUUID(device, hash.data) {
			t.Error("Verify accepted a hash device that Build did not make")
		}
		// The fuzzer cannot forge SHA-256: give it a root hash that fits its top block.
		if s, err := ReadSuperblock(bytes.NewReader(device)); err == nil {
			top := newDigester(s.Salt()).append(nil, device[BlockSize:2*BlockSize])
			_ = Verify(bytes.NewReader(data), bytes.NewReader(device), [DigestSize]byte(top))
		}
	})
}

func sameButUUID(a, b []byte) bool {
	return len(a) >= len(b) && bytes.Equal(a[:16], b[:16]) && bytes.Equal(a[32:len(b)], b[32:])
}
