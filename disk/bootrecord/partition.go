package bootrecord

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// CopySize is the length of a copy in bytes.
	CopySize = 4096
	// copyDistance lies between the starts of the two copies: far enough that one
	// bad spot, or one erase block of a flash, does not hold both.
	copyDistance = 512 << 10
)

// offset is where the record of a generation lies in the partition.
func offset(generation uint64) int64 { return int64(generation%2) * copyDistance }

// ErrDamaged tells that no copy is whole and the partition is not empty either.
var ErrDamaged = errors.New("no copy of the boot record is whole")

// Read returns the newest whole copy of a partition. With an error that wraps
// ErrDamaged the record is an empty one, to go on with.
func Read(partition io.ReaderAt) (*Record, error) {
	var found *Record
	var faults []error
	for generation := range uint64(2) {
		r, err := readCopy(partition, generation)
		if err != nil {
			faults = append(faults, fmt.Errorf("copy %d: %w", generation, err))
		}
		found = newest(found, r)
	}
	if found == nil && faults != nil {
		return &Record{}, fmt.Errorf("%w: %w", ErrDamaged, errors.Join(faults...))
	}
	if found == nil {
		return &Record{}, nil
	}
	return found, nil
}

// readCopy returns nil, and no error, for a copy that was never written.
func readCopy(partition io.ReaderAt, number uint64) (*Record, error) {
	data := make([]byte, CopySize)
	if _, err := partition.ReadAt(data, offset(number)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.Equal(data, make([]byte, CopySize)) {
		return nil, nil
	}
	r, err := Decode(data)
	if err == nil && r.Generation%2 != number {
		return nil, fmt.Errorf("it holds generation %d, which belongs into the other copy", r.Generation)
	}
	return r, err
}

// Medium is a partition to write to. An *os.File is one.
type Medium interface {
	io.WriterAt
	Sync() error
}

// Write writes the record as the next generation, over the older copy, and
// waits until it is on the medium. Where it fails, the record keeps its
// generation, and the partition the newer copy.
func (r *Record) Write(partition Medium) error {
	next := *r
	next.Generation = following(next.Generation)
	data, err := next.Encode()
	if err != nil {
		return err
	}
	if _, err := partition.WriteAt(data, offset(next.Generation)); err != nil {
		return fmt.Errorf("write boot record: %w", err)
	}
	if err := partition.Sync(); err != nil {
		return fmt.Errorf("write boot record: %w", err)
	}
	r.Generation = next.Generation
	return nil
}

// Verify checks a whole partition of size bytes: at least one copy whole, or
// both empty, and zeros everywhere else.
func Verify(partition io.ReaderAt, size int64) (*Record, error) {
	r, err := Read(partition)
	if err != nil {
		return nil, err
	}
	for _, gap := range [][2]int64{{CopySize, copyDistance}, {copyDistance + CopySize, size}} {
		rest, err := io.ReadAll(io.NewSectionReader(partition, gap[0], gap[1]-gap[0]))
		if err != nil {
			return nil, err
		}
		if at := bytes.IndexFunc(rest, func(c rune) bool { return c != 0 }); at >= 0 {
			return nil, fmt.Errorf("byte %d is not zero: only the two copies hold anything", gap[0]+int64(at))
		}
	}
	return r, nil
}
