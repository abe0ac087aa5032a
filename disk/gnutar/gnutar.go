// Package gnutar writes one file, sparse or not, as a tar archive in the old GNU
// format, which is what Google Compute Engine takes disks in.
//
// It follows GNU tar's manual, "Basic Tar Format" (struct posix_header, struct
// oldgnu_header, struct sparse_header) and "Storing Sparse Files" ("Old GNU
// Format"). POSIX extended headers, which that format does not have, long names
// and every kind of member but a file are left out.
//
// An archive is laid out in blocks of 512 bytes:
//
//	block 0   the header, with the first 4 regions that hold data
//	block 1…  if there are more: extension headers with 21 each
//	…         the data of the regions, one after the other
//	last      at least two blocks of zeros, up to a multiple of 20 blocks
package gnutar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// BlockSize is the unit of an archive, in bytes.
const BlockSize = 512

const (
	recordSize     = 20 * BlockSize // what tar reads and writes at a time
	typeFile       = '0'
	typeSparse     = 'S' // with a map of what holds data
	inHeader       = 4   // regions
	inExtension    = 21  // regions
	maxRegions     = 1 << 20
	maxName        = 100
	magicOldGNU    = "ustar  \x00"
	checksumOffset = 148
)

// File is the one member of an archive.
type File struct {
	Name    string // at most 100 bytes
	Mode    int64
	Time    time.Time // of the last change, in seconds
	Size    int64     // bytes, holes included
	Regions []Region  // what the archive holds of it, in order
}

// Region is a range of a file that holds data: a multiple of BlockSize in size,
// except for the last one.
type Region struct{ Offset, Size int64 }

// number is a field that holds a number: octal digits, or binary if it is too large.
type number [12]byte

// header is a member's first block.
type header struct {
	Name     [maxName]byte    // 0
	Mode     [8]byte          // 100
	UID      [8]byte          // 108
	GID      [8]byte          // 116
	Size     number           // 124: of the data in the archive
	Time     number           // 136
	Checksum [8]byte          // 148: of the block, with spaces here
	Type     byte             // 156
	LinkName [maxName]byte    // 157
	Magic    [8]byte          // 257: "ustar", two spaces, NUL
	Unused   [121]byte        // 265: owner, group, device
	Sparse   [inHeader]sparse // 386
	Extended byte             // 482: 1: an extension follows
	RealSize number           // 483: of the file
	Padding  [17]byte         // 495
}

// extension is a further block of a member's header.
type extension struct {
	Sparse   [inExtension]sparse // 0
	Extended byte                // 504
	Padding  [7]byte             // 505
}

type sparse struct{ Offset, Size number }

// Stored is how much data of the file the archive holds.
func (f *File) Stored() (size int64) {
	for _, r := range f.Regions {
		size += r.Size
	}
	return size
}

// whole tells whether the file has no hole.
func (f *File) whole() bool { return len(f.Regions) == 1 && f.Regions[0] == (Region{0, f.Size}) }

// Header encodes the blocks that come before the data.
func (f *File) Header() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("write tar: %w", err)
	}
	regions := append(f.Regions[:len(f.Regions):len(f.Regions)], Region{f.Size, 0}) // the end, as tar has it
	h := header{
		Mode: [8]byte([]byte(fmt.Sprintf("%07o\x00", f.Mode))), UID: [8]byte([]byte("0000000\x00")), GID: [8]byte([]byte("0000000\x00")),
		Size: encodeNumber(f.Stored()), Time: encodeNumber(f.Time.Unix()), Checksum: [8]byte([]byte("        ")),
		Type: typeSparse, Magic: [8]byte([]byte(magicOldGNU)), RealSize: encodeNumber(f.Size),
	}
	copy(h.Name[:], f.Name)
	if f.whole() {
		h.Type, h.RealSize, regions = typeFile, number{}, nil
	}
	regions = fill(h.Sparse[:], &h.Extended, regions)
	b := encode(h)
	copy(b[checksumOffset:], fmt.Sprintf("%06o\x00 ", sum(b)))
	for len(regions) > 0 {
		var x extension
		regions = fill(x.Sparse[:], &x.Extended, regions)
		b = append(b, encode(x)...)
	}
	return b, nil
}

// Trailer returns the zeros that end an archive of the file behind its data.
func (f *File) Trailer() ([]byte, error) {
	head, err := f.Header()
	if err != nil {
		return nil, err
	}
	end := int64(len(head)) + f.Stored()
	blocks := (end+BlockSize-1)/BlockSize + 2
	total := (blocks*BlockSize + recordSize - 1) / recordSize * recordSize
	return make([]byte, total-end), nil
}

// fill puts regions into a map, notes whether more are left, and returns those.
func fill(to []sparse, extended *byte, regions []Region) []Region {
	n := min(len(to), len(regions))
	for i, r := range regions[:n] {
		to[i] = sparse{encodeNumber(r.Offset), encodeNumber(r.Size)}
	}
	if n < len(regions) {
		*extended = 1
	}
	return regions[n:]
}

func (r Region) end() int64 { return r.Offset + r.Size }

// check tells whether the file can be a member: its regions in order, inside
// of it, and of whole blocks.
func (f *File) check() error {
	if f.Name == "" || len(f.Name) > maxName || strings.Contains(f.Name, "\x00") || f.Mode < 0 || f.Mode > 0o7777 || f.Time.Unix() < 0 || f.Size < 0 {
		return fmt.Errorf("a file with name %q, mode %o, time %v and size %d", f.Name, f.Mode, f.Time, f.Size)
	}
	end := int64(0)
	for i, r := range f.Regions {
		whole := r.Size%BlockSize == 0 || i == len(f.Regions)-1
		if r.Offset < end || r.Size < 0 || r.Size > f.Size-r.Offset || !whole || i == maxRegions {
			return fmt.Errorf("region %d: %d bytes at %d of a file of %d", i, r.Size, r.Offset, f.Size)
		}
		end = r.end()
	}
	return nil
}

// ReadFile reads the header of an archive's first member and checks that it is
// a file in the old GNU format. What follows in r is the data.
func ReadFile(r io.Reader) (*File, error) {
	f, err := readFile(r)
	if err != nil {
		return nil, fmt.Errorf("tar header: %w", err)
	}
	return f, nil
}

func readFile(r io.Reader) (*File, error) {
	b := make([]byte, BlockSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	var h header
	decode(b, &h)
	if err := h.check(b); err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(string(h.Name[:]), "\x00")
	f := &File{Name: name}
	fields := numbers{}
	f.Mode, f.Time = fields.decode(h.Mode[:]), time.Unix(fields.decode(h.Time[:]), 0).UTC()
	stored := fields.decode(h.Size[:])
	if h.Type == typeFile {
		f.Size, f.Regions = stored, []Region{{0, stored}}
		return f, errors.Join(fields.err, f.check())
	}
	f.Size, f.Regions = fields.decode(h.RealSize[:]), fields.regions(nil, h.Sparse[:])
	for more := h.Extended; more != 0; {
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		var x extension
		decode(b, &x)
		if f.Regions = fields.regions(f.Regions, x.Sparse[:]); len(f.Regions) > maxRegions {
			return nil, errors.New("too many regions")
		}
		more = x.Extended
	}
	if fields.err != nil {
		return nil, fields.err
	}
	if n := len(f.Regions); n > 0 && f.Regions[n-1] == (Region{f.Size, 0}) {
		f.Regions = f.Regions[: n-1 : n-1]
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if stored != f.Stored() {
		return nil, fmt.Errorf("%d bytes of data for regions of %d", stored, f.Stored())
	}
	return f, nil
}

// check tells whether b, the block of h, starts a file in the old GNU format.
func (h *header) check(b []byte) error {
	blank := append([]byte(nil), b...)
	copy(blank[checksumOffset:], "        ")
	fields := numbers{}
	switch got := fields.decode(h.Checksum[:]); {
	case fields.err != nil || got != sum(blank):
		return fmt.Errorf("checksum %q: want %06o", h.Checksum, sum(blank))
	case string(h.Magic[:]) != magicOldGNU:
		return fmt.Errorf("magic %q: not the old GNU format", h.Magic)
	case h.Type != typeSparse && h.Type != typeFile:
		return fmt.Errorf("type %q: not a file", h.Type)
	}
	return nil
}

// sum adds up the bytes of a block ("checksum").
func sum(b []byte) (n int64) {
	for _, v := range b {
		n += int64(v)
	}
	return n
}

// encodeNumber writes a number that is not negative: eleven octal digits, or,
// from 8 GiB on, binary with the first bit set.
func encodeNumber(n int64) (field number) {
	if n < 1<<33 {
		copy(field[:], fmt.Sprintf("%011o\x00", n))
		return field
	}
	field[0] = 0x80
	binary.BigEndian.PutUint64(field[4:], uint64(n))
	return field
}

// numbers decodes fields and keeps the first error.
type numbers struct{ err error }

func (f *numbers) decode(field []byte) int64 {
	if field[0] == 0x80 && len(field) == len(number{}) && field[1]|field[2]|field[3] == 0 && field[4] < 0x80 {
		return int64(binary.BigEndian.Uint64(field[4:]))
	}
	n, err := strconv.ParseInt(strings.Trim(string(field), " \x00"), 8, 64)
	if err == nil && n < 0 {
		err = strconv.ErrRange
	}
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("number %q: %w", field, err)
	}
	return n
}

// regions decodes the entries of a map that are in use.
func (f *numbers) regions(to []Region, from []sparse) []Region {
	for _, s := range from {
		if s == (sparse{}) {
			break
		}
		to = append(to, Region{f.decode(s.Offset[:]), f.decode(s.Size[:])})
	}
	return to
}

// encode returns the bytes of a record of fixed size.
func encode(record any) []byte { return fixed.Encode(binary.BigEndian, record) }

// decode fills a record of fixed size from the start of b, which must be long enough.
func decode(b []byte, record any) { fixed.Decode(binary.BigEndian, b, record) }
