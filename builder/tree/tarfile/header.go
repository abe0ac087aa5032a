package tarfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// rawHeader is a header block as ustar lays it out (POSIX.1-2001, ustar
// interchange format). GNU and star use the prefix field otherwise.
type rawHeader struct {
	Name      [100]byte // 0
	Mode      [8]byte   // 100
	UID       [8]byte   // 108
	GID       [8]byte   // 116
	Size      [12]byte  // 124
	Mtime     [12]byte  // 136
	Checksum  [8]byte   // 148
	Type      byte      // 156
	Link      [100]byte // 157
	Magic     [6]byte   // 257
	Version   [2]byte   // 263
	UserName  [32]byte  // 265
	GroupName [32]byte  // 297
	Major     [8]byte   // 329
	Minor     [8]byte   // 337
	Prefix    [155]byte // 345
	Trailer   [12]byte  // 500
}

// rawGNU is what the old GNU format has from offset 345 on.
type rawGNU struct {
	_        [345]byte
	Atime    [12]byte     // 345
	Ctime    [12]byte     // 357
	Offset   [12]byte     // 369
	Names    [4]byte      // 381
	_        byte         // 385
	Sparse   [4]rawSparse // 386
	Extended byte         // 482: a rawMap follows
	RealSize [12]byte     // 483
	_        [17]byte     // 495
}

// rawSparse is one piece of a sparse file.
type rawSparse struct {
	Offset [12]byte // 0
	Size   [12]byte // 12
}

// rawMap is a block that continues the list of pieces.
type rawMap struct {
	Sparse   [21]rawSparse // 0
	Extended byte          // 504: another one follows
	_        [7]byte       // 505
}

// Values of rawHeader.Magic, and star's of the end of the trailer.
const (
	magicUstar  = "ustar\x00"
	magicGNU    = "ustar "
	trailerStar = "tar\x00"
	starPrefix  = 131 // star keeps times in the rest of the prefix
)

// header is a header block, parsed.
type header struct {
	Name, Link   string
	Type         byte
	Mode         int64
	UID, GID     int64
	Size         int64
	Mtime        time.Time
	Major, Minor int64
	gnu          *[blockSize]byte // the block, when its magic is GNU's
}

func (h *header) isExtension() bool {
	switch h.Type {
	case flagExtended, flagGlobal, flagLongName, flagLongLink:
		return true
	}
	return false
}

func parseHeader(block *[blockSize]byte) (*header, error) {
	var raw rawHeader
	decode(block, &raw)
	if !sumMatches(block, raw.Checksum[:]) {
		return nil, errors.New("wrong checksum")
	}
	var p numbers
	h := &header{
		Name: cString(raw.Name[:]),
		Link: cString(raw.Link[:]),
		Type: raw.Type,
		Mode: p.parse(raw.Mode[:]),
		UID:  p.parse(raw.UID[:]),
		GID:  p.parse(raw.GID[:]),
		Size: p.parse(raw.Size[:]),
	}
	h.Mtime = time.Unix(p.parse(raw.Mtime[:]), 0)
	if h.Type == TypeChar || h.Type == TypeBlock {
		h.Major, h.Minor = p.parse(raw.Major[:]), p.parse(raw.Minor[:])
	}
	if prefix := raw.prefix(); prefix != "" {
		h.Name = prefix + "/" + h.Name
	}
	if string(raw.Magic[:]) == magicGNU {
		h.gnu = block
	}
	return h, p.err
}

// prefix is what comes before the name, a slash between them. GNU has two times
// in its place; but the archive/tar of Go before 1.8, and so old container
// engines, wrote prefixes into GNU headers, which do not look like numbers.
func (raw *rawHeader) prefix() string {
	prefix := raw.Prefix[:]
	switch string(raw.Magic[:]) {
	case magicUstar:
		if strings.HasSuffix(string(raw.Trailer[:]), trailerStar) {
			prefix = prefix[:starPrefix]
		}
		return cString(prefix)
	case magicGNU:
		_, errAtime := parseNumber(prefix[:12])
		_, errCtime := parseNumber(prefix[12:24])
		if errAtime != nil || errCtime != nil {
			return cString(prefix)
		}
	}
	return ""
}

// decode reads a block into one of the raw records, whose sizes are tested.
func decode(block *[blockSize]byte, record any) {
	if _, err := binary.Decode(block[:], binary.LittleEndian, record); err != nil {
		panic(err) // a record larger than a block
	}
}

// sumMatches compares the checksum of a header block: the sum of its bytes with
// the checksum field taken as spaces. Some old tars summed signed bytes.
func sumMatches(block *[blockSize]byte, field []byte) bool {
	var p numbers
	want := p.parse(field)
	if p.err != nil {
		return false
	}
	var unsigned, signed int64
	for _, b := range block {
		unsigned += int64(b)
		signed += int64(int8(b))
	}
	for _, b := range field {
		unsigned += ' ' - int64(b)
		signed += ' ' - int64(int8(b))
	}
	return want == unsigned || want == signed
}

// cString is a field up to its first zero byte.
func cString(field []byte) string {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}

// numbers parses numeric fields and keeps the first error.
type numbers struct{ err error }

func (p *numbers) parse(field []byte) int64 {
	n, err := parseNumber(field)
	if err != nil && p.err == nil {
		p.err = err
	}
	return n
}

// parseNumber reads a numeric field: octal digits (POSIX), or when the highest
// bit is set a big-endian two's complement number of the other bits (GNU).
func parseNumber(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		return parseBase256(field)
	}
	s := strings.Trim(string(field), " \x00")
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 8, 63)
	if err != nil {
		return 0, fmt.Errorf("number %q: not octal", s)
	}
	return int64(n), nil
}

func parseBase256(field []byte) (int64, error) {
	first := field[0] & 0x7f
	var n int64
	if first&0x40 != 0 { // negative
		first |= 0x80
		n = -1
	}
	for i, b := range field {
		if i == 0 {
			b = first
		}
		if n > 1<<55-1 || n < -1<<55 {
			return 0, fmt.Errorf("number %x: too large", field)
		}
		n = n<<8 | int64(b)
	}
	return n, nil
}
