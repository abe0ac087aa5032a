package fixed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

type record struct {
	A uint16
	B [2]byte
	C uint32
}

func TestRecord(t *testing.T) {
	want := record{0x0102, [2]byte{3, 4}, 0x05060708}
	for order, text := range map[binary.ByteOrder]string{
		binary.LittleEndian: "\x02\x01\x03\x04\x08\x07\x06\x05",
		binary.BigEndian:    "\x01\x02\x03\x04\x05\x06\x07\x08",
	} {
		if got := Encode(order, want); string(got) != text {
			t.Errorf("Encode(%v) = %q; want %q", order, got, text)
		}
		var got record
		if Decode(order, []byte(text+"more"), &got); got != want {
			t.Errorf("Decode(%v) = %+v; want %+v", order, got, want)
		}
	}
}

// What has no fixed size is a mistake in a program, not in what it reads.
func TestMistakes(t *testing.T) {
	for name, mistake := range map[string]func(){
		"Encode of a string":    func() { Encode(binary.LittleEndian, "x") },
		"Decode of a short one": func() { Decode(binary.LittleEndian, []byte{1}, new(record)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			mistake()
		}()
	}
}

// readerAt is a reader of one kind.
type readerAt func(p []byte, at int64) (int, error)

func (r readerAt) ReadAt(p []byte, at int64) (int, error) { return r(p, at) }

func TestReadAt(t *testing.T) {
	data := bytes.NewReader([]byte("0123456789"))
	eager := readerAt(func(p []byte, at int64) (int, error) {
		n, err := data.ReadAt(p, at)
		if err == nil && at+int64(n) == data.Size() {
			err = io.EOF // beside the last bytes
		}
		return n, err
	})
	lazy := readerAt(func(p []byte, at int64) (int, error) {
		n, _ := data.ReadAt(p, at)
		return n, nil
	})
	broken := readerAt(func([]byte, int64) (int, error) { return 0, iotest.ErrTimeout })
	for name, test := range map[string]struct {
		r    io.ReaderAt
		at   int64
		want error
	}{
		"within": {data, 2, nil}, "to the end": {data, 6, nil}, "to the end, with EOF": {eager, 6, nil}, "beyond": {data, 7, io.ErrUnexpectedEOF},
		"behind": {data, 20, io.ErrUnexpectedEOF}, "beyond, without EOF": {lazy, 7, io.ErrUnexpectedEOF}, "broken": {broken, 0, iotest.ErrTimeout},
	} {
		b := make([]byte, 4)
		if err := ReadAt(test.r, b, test.at); !errors.Is(err, test.want) || test.want == nil && string(b) != "0123456789"[test.at:test.at+4] {
			t.Errorf("%s: ReadAt = %q, %v; want %v", name, b, err, test.want)
		}
	}
}

func TestDifference(t *testing.T) {
	for b, want := range map[string]int{"abc": -1, "xbc": 0, "abx": 2} {
		if got := Difference([]byte("abc"), []byte(b)); got != want {
			t.Errorf("Difference(abc, %s) = %d; want %d", b, got, want)
		}
	}
}
