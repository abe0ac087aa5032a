package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ketch-os/ketch/builder/sparse"
)

// same compares two sparse files, reading their data only: same FILE FILE.
// (testscript's cmp would read gigabytes of holes into memory.)
func same(ts *testscript.TestScript, neg bool, args []string) {
	var sums [2][sha256.Size]byte
	for i := range sums {
		sum, err := sparseSum(ts.MkAbs(args[i]))
		ts.Check(err)
		sums[i] = sum
	}
	if equal := sums[0] == sums[1]; equal == neg {
		ts.Fatalf("%s and %s have the same bytes: %t", args[0], args[1], equal)
	}
}

// sparseSum digests the size of a file and every page that is not zero, with its place.
func sparseSum(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return sum, err
	}
	hash := sha256.New()
	hash.Write(binary.BigEndian.AppendUint64(nil, uint64(info.Size())))
	var page, zero [4096]byte
	err = sparse.Each(f, info.Size(), func(start, end int64) error {
		for at := start - start%int64(len(page)); at < end; at += int64(len(page)) {
			n, err := f.ReadAt(page[:], at)
			if err != nil && err != io.EOF {
				return err
			}
			if !bytes.Equal(page[:n], zero[:n]) {
				hash.Write(binary.BigEndian.AppendUint64(nil, uint64(at)))
				hash.Write(page[:n])
			}
		}
		return nil
	})
	return [sha256.Size]byte(hash.Sum(nil)), err
}

func TestSparseSum(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, at int64, data []byte) [sha256.Size]byte {
		f, err := os.Create(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(1 << 20); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
		sum, err := sparseSum(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	one := write("one", 8192, []byte("x"))
	if write("zeros", 4096, append(make([]byte, 4096), 'x')) != one {
		t.Error("zeros that are written count")
	}
	for name, sum := range map[string][sha256.Size]byte{
		"elsewhere": write("elsewhere", 12288, []byte("x")), "later": write("later", 8193, []byte("x")),
		"other": write("other", 8192, []byte("y")), "longer": write("longer", 1<<20, []byte{0}),
	} {
		if sum == one {
			t.Errorf("%s: not noticed", name)
		}
	}
}
