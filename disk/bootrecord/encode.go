package bootrecord

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"unicode/utf8"

	"github.com/ketch-os/ketch/disk/verity"
)

// magic starts a copy.
var magic = [8]byte{'K', 'E', 'T', 'C', 'H', 'R', 'E', 'C'}

// format is the only one there has been.
const format = 1

// header is the start of a copy. Numbers are little-endian; text is UTF-8, NUL
// after its end where it is shorter than its field.
type header struct {
	Magic      [8]byte         // 0: "KETCHREC"
	Format     uint32          // 8: 1
	Checksum   uint32          // 12: CRC-32C of all 4096 bytes, with this field zero
	Generation uint64          // 16
	Count      uint32          // 24: versions in use, at most 8
	_          [4]byte         // 28: zero
	Floor      [MaxName]byte   // 32
	Asked      verity.RootHash // 56
	AskedFor   verity.RootHash // 88: the version whose failures were the reason
	_          [8]byte         // 120: zero
}

// version is one of the eight records that follow the header, at 128 + 496 × n.
// Unused ones are zero.
type version struct {
	RootHash verity.RootHash // 0
	Name     [MaxName]byte   // 32
	Entry    [MaxEntry]byte  // 56
	Starts   uint32          // 120
	Goods    uint32          // 124
	Attempts uint32          // 128
	Tries    uint32          // 132
	LastGood uint64          // 136
	GoodTime int64           // 144
	FailTime int64           // 152
	Flags    uint32          // 160
	_        [20]byte        // 164: zero
	Words    [MaxWords]byte  // 184
}

// flagRevoked is the only flag of a version.
const flagRevoked = 1 << 0

func (v *Version) flags() (flags uint32) {
	if v.Revoked {
		flags |= flagRevoked
	}
	return flags
}

// castagnoli is the polynomial of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the copy that holds a record, or says what does not fit.
func (r *Record) Encode() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("encode boot record: %w", err)
	}
	h := header{
		Magic: magic, Format: format, Generation: r.Generation, Count: uint32(len(r.Versions)),
		Floor: [MaxName]byte(field(r.Floor, MaxName)), Asked: r.Asked, AskedFor: r.AskedFor,
	}
	h.Checksum = crcOf(r.bytes(h))
	return r.bytes(h), nil
}

// bytes joins header and versions and fills the copy up with zeros.
func (r *Record) bytes(h header) []byte {
	data := appendRecord(make([]byte, 0, CopySize), h)
	for _, v := range r.Versions {
		data = appendRecord(data, version{
			RootHash: v.RootHash, Name: [MaxName]byte(field(v.Name, MaxName)), Entry: [MaxEntry]byte(field(v.Entry, MaxEntry)),
			Starts: v.Starts, Goods: v.Goods, Attempts: v.Attempts, Tries: v.Tries, Flags: v.flags(),
			LastGood: v.LastGood, GoodTime: v.GoodTime, FailTime: v.FailTime, Words: [MaxWords]byte(field(v.Words, MaxWords)),
		})
	}
	return data[:CopySize]
}

func appendRecord(data []byte, record any) []byte {
	data, err := binary.Append(data, binary.LittleEndian, record)
	if err != nil {
		panic(err) // a record without a fixed size is a mistake in this package
	}
	return data
}

// Decode reads a copy. It accepts exactly what Encode gives.
func Decode(data []byte) (*Record, error) {
	r, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode boot record: %w", err)
	}
	return r, nil
}

func decode(data []byte) (*Record, error) {
	if len(data) != CopySize {
		return nil, fmt.Errorf("%d bytes: want %d", len(data), CopySize)
	}
	var h header
	rest := bytes.NewReader(data)
	if err := binary.Read(rest, binary.LittleEndian, &h); err != nil {
		return nil, err
	}
	switch {
	case h.Magic != magic:
		return nil, errors.New("the magic number is missing")
	case h.Format != format:
		return nil, fmt.Errorf("format %d: want %d", h.Format, format)
	case h.Checksum != crcOf(data):
		return nil, errors.New("the checksum does not match")
	case h.Count > MaxVersions:
		return nil, fmt.Errorf("%d versions: at most %d fit", h.Count, MaxVersions)
	}
	versions := make([]version, h.Count)
	if err := binary.Read(rest, binary.LittleEndian, versions); err != nil {
		return nil, err
	}
	r := newRecord(h, versions)
	// A second way to write the same record would be a place to hide something.
	if again, err := r.Encode(); err != nil || !bytes.Equal(again, data) {
		return nil, errors.Join(errors.New("is not in its one form"), err)
	}
	return r, nil
}

func newRecord(h header, versions []version) *Record {
	r := &Record{Generation: h.Generation, Floor: text(h.Floor[:]), Asked: h.Asked, AskedFor: h.AskedFor}
	for _, v := range versions {
		r.Versions = append(r.Versions, Version{
			RootHash: v.RootHash, Name: text(v.Name[:]), Entry: text(v.Entry[:]),
			Starts: v.Starts, Goods: v.Goods, Attempts: v.Attempts, Tries: v.Tries, Revoked: v.Flags&flagRevoked != 0,
			LastGood: v.LastGood, GoodTime: v.GoodTime, FailTime: v.FailTime, Words: text(v.Words[:]),
		})
	}
	return r
}

// crcOf is the checksum of a copy, whatever its own field holds.
func crcOf(data []byte) uint32 {
	const at = 12 // header.Checksum
	sum := crc32.Update(0, castagnoli, data[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, data[at+4:])
}

// validate checks what must hold of any record.
func (r *Record) validate() error {
	if len(r.Versions) > MaxVersions {
		return fmt.Errorf("%d versions: at most %d fit", len(r.Versions), MaxVersions)
	}
	texts := []string{r.Floor}
	limits := []int{MaxName}
	for i, v := range r.Versions {
		if slices.IndexFunc(r.Versions, func(o Version) bool { return o.RootHash == v.RootHash }) != i {
			return fmt.Errorf("root hash %s stands in it twice", v.RootHash)
		}
		for _, at := range []int64{v.GoodTime, v.FailTime} {
			if at < 0 || at > maxTime {
				return fmt.Errorf("time %d: want seconds since 1970, up to the year 9999", at)
			}
		}
		texts, limits = append(texts, v.Name, v.Entry, v.Words), append(limits, MaxName, MaxEntry, MaxWords)
	}
	for i, s := range texts {
		if len(s) > limits[i] || bytes.IndexByte([]byte(s), 0) >= 0 || !utf8.ValidString(s) {
			return fmt.Errorf("text %q: want at most %d bytes of UTF-8 without NUL", s, limits[i])
		}
	}
	return nil
}

// field is text in a field of a fixed size, which it must fit.
func field(s string, size int) []byte { return append([]byte(s), make([]byte, size-len(s))...) }

// text is the inverse of field.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
