package deb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// arMagic opens an ar archive (ar(5)).
const arMagic = "!<arch>\n"

// arHeader precedes each member; every field is ASCII, padded with blanks.
type arHeader struct {
	Name  [16]byte // 0: may end in a slash
	Mtime [12]byte // 16: decimal seconds
	UID   [6]byte  // 28: decimal
	GID   [6]byte  // 34: decimal
	Mode  [8]byte  // 40: octal
	Size  [10]byte // 48: decimal bytes of the member, which is padded to an even offset
	End   [2]byte  // 58: "`\n"
}

// archive reads the members of an ar archive in order.
type archive struct {
	r    io.Reader
	body *io.LimitedReader // of the member read last
	odd  bool              // it is followed by a padding byte
}

func newArchive(r io.Reader) (*archive, error) {
	var magic [len(arMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return nil, fmt.Errorf("read package: %w", truncated(err))
	}
	if string(magic[:]) != arMagic {
		return nil, fmt.Errorf("read package: %q is not the start of a Debian package", magic[:])
	}
	return &archive{r: r, body: &io.LimitedReader{}}, nil
}

// next skips what is left of the current member and opens the one after it.
// The end of the archive is an error: every member is looked for by name.
func (a *archive) next() (name string, body io.Reader, err error) {
	rest := a.body.N
	if a.odd {
		rest++
	}
	if _, err := io.CopyN(io.Discard, a.r, rest); err != nil {
		return "", nil, truncated(err)
	}
	var h arHeader
	if err := binary.Read(a.r, binary.LittleEndian, &h); err != nil {
		return "", nil, truncated(err)
	}
	if string(h.End[:]) != "`\n" {
		return "", nil, fmt.Errorf("member header ends in %q", h.End[:])
	}
	size, err := strconv.ParseUint(field(h.Size[:]), 10, 40)
	if err != nil {
		return "", nil, fmt.Errorf("member size: %w", err)
	}
	a.body = &io.LimitedReader{R: a.r, N: int64(size)}
	a.odd = size%2 == 1
	return strings.TrimSuffix(field(h.Name[:]), "/"), a.body, nil
}

func field(b []byte) string { return string(bytes.TrimRight(b, " ")) }

// truncated says what a bare EOF means here.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
