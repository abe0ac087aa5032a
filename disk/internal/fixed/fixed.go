// Package fixed reads and writes what on-disk formats are made of: records of a
// fixed size, at fixed places.
package fixed

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Encode returns the bytes of a record.
func Encode(order binary.ByteOrder, record any) []byte {
	b, err := binary.Append(nil, order, record)
	if err != nil {
		panic(err) // a record without a fixed size is a mistake of the caller's
	}
	return b
}

// Decode fills a record from the start of b, which must be long enough.
func Decode(order binary.ByteOrder, b []byte, record any) {
	if _, err := binary.Decode(b, order, record); err != nil {
		panic(err) // as in Encode
	}
}

// ReadAt fills b from the bytes at offset. A reader may say io.EOF beside the last
// bytes it has: that is no error. Fewer bytes are io.ErrUnexpectedEOF.
func ReadAt(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// Difference returns the first index at which two slices of one length differ, or -1.
func Difference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	at := 0
	for a[at] == b[at] {
		at++
	}
	return at
}
