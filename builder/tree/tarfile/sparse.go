package tarfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// sparseMap is the list of a sparse file's pieces.
type sparseMap struct {
	sparse bool
	runs   []run
	stored int64 // bytes that the map itself takes of the file's data (PAX 1.0)
}

// run is a piece of a file that is not a hole.
type run struct{ offset, size int64 }

// sparseMap returns the sparse map of a regular file, of whichever format, and
// gives the entry its real name and size.
func (r *Reader) sparseMap(e *Entry, h *header, records map[string]string) (sparseMap, error) {
	if h.Type == flagSparse {
		return r.oldMap(e, h)
	}
	major, minor := records[keySparseMajor], records[keySparseMinor]
	switch {
	case major == "" && minor == "" && records[keySparseMap] == "" && records[keySparseCount] == "":
		return sparseMap{}, nil
	case major == "1" && minor == "0":
		return r.map10(e, records)
	case major == "" && minor == "", major == "0" && (minor == "0" || minor == "1"):
		return map01(e, records)
	}
	return sparseMap{}, fmt.Errorf("unknown format %s.%s", major, minor)
}

// oldMap reads the old GNU format: four pieces in the header, 21 in each of the
// blocks after it (GNU tar manual, "Old GNU Format").
func (r *Reader) oldMap(e *Entry, h *header) (sparseMap, error) {
	if h.gnu == nil {
		return sparseMap{}, errors.New("not a GNU header")
	}
	var raw rawGNU
	decode(h.gnu, &raw)
	var p numbers
	e.Size = p.parse(raw.RealSize[:])
	m := sparseMap{sparse: true}
	m.runs = p.runs(m.runs, raw.Sparse[:])
	for more := raw.Extended != 0; more && p.err == nil; {
		if len(m.runs)*24 > maxExtended {
			return m, errors.New("too many pieces")
		}
		var block [blockSize]byte
		if err := r.block(&block); err != nil {
			return m, unexpected(err)
		}
		var next rawMap
		decode(&block, &next)
		m.runs = p.runs(m.runs, next.Sparse[:])
		more = next.Extended != 0
	}
	return m, p.err
}

// runs appends the pieces of a list that ends early at an empty field.
func (p *numbers) runs(runs []run, list []rawSparse) []run {
	for _, s := range list {
		if s.Offset[0] == 0 {
			break
		}
		runs = append(runs, run{p.parse(s.Offset[:]), p.parse(s.Size[:])})
	}
	return runs
}

// map01 reads the PAX formats 0.0 and 0.1: the map is a record of the extended header.
func map01(e *Entry, records map[string]string) (sparseMap, error) {
	e.realName(records)
	m := sparseMap{sparse: true}
	var fields []string
	if text := records[keySparseMap]; text != "" {
		fields = strings.Split(text, ",")
	}
	if count := records[keySparseCount]; count != strconv.Itoa(len(fields)/2) || len(fields)%2 != 0 {
		return m, fmt.Errorf("%s pieces announced, %d numbers in the map", count, len(fields))
	}
	err := m.add(fields)
	return m, errors.Join(err, e.realSize(records))
}

// map10 reads the PAX format 1.0: the map stands before the data, padded to a
// block: decimal numbers, one a line, the count, then offset and size of each piece.
func (r *Reader) map10(e *Entry, records map[string]string) (sparseMap, error) {
	e.realName(records)
	room := min(e.Size, r.size-r.next, maxExtended)
	lines := bufio.NewReader(io.NewSectionReader(r.r, r.next, room))
	text, err := lines.ReadString('\n')
	taken := int64(len(text))
	count, errCount := parseDecimal(strings.TrimSuffix(text, "\n"))
	if err != nil || errCount != nil || count > maxExtended {
		return sparseMap{}, fmt.Errorf("the map begins with %.20q", text)
	}
	var fields []string
	for range 2 * count {
		text, err := lines.ReadString('\n')
		if err != nil {
			return sparseMap{}, fmt.Errorf("the map does not end: %w", unexpected(err))
		}
		taken += int64(len(text))
		fields = append(fields, strings.TrimSuffix(text, "\n"))
	}
	m := sparseMap{sparse: true, stored: (taken + blockSize - 1) / blockSize * blockSize}
	if m.stored > e.Size {
		return m, errors.New("the map is longer than the data")
	}
	r.next += m.stored
	err = m.add(fields)
	return m, errors.Join(err, e.realSize(records))
}

// add appends pieces written as offset, size, offset, size, …
func (m *sparseMap) add(fields []string) error {
	for ; len(fields) >= 2; fields = fields[2:] {
		offset, err1 := parseDecimal(fields[0])
		size, err2 := parseDecimal(fields[1])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		m.runs = append(m.runs, run{offset, size})
	}
	return nil
}

// realName gives a sparse file its own name: the header has a made-up one for
// programs that do not know the format.
func (e *Entry) realName(records map[string]string) {
	if name := records[keySparseName]; name != "" {
		e.Name = name
	}
}

// realSize gives a sparse file the size it has with its holes.
func (e *Entry) realSize(records map[string]string) (err error) {
	for _, key := range []string{keySparseReal, keySparseSize} {
		if text := records[key]; text != "" {
			e.Size, err = parseDecimal(text)
		}
	}
	return err
}

// pieces places the runs, whose bytes are stored one after the other from at on.
func (m *sparseMap) pieces(at, stored, size int64) ([]Piece, error) {
	var pieces []Piece
	end := int64(0)
	for _, s := range m.runs {
		if s.offset < end || s.size < 0 || s.size > size-s.offset {
			return nil, fmt.Errorf("piece of %d bytes at %d overlaps or leaves the file of %d bytes", s.size, s.offset, size)
		}
		if s.size > stored {
			return nil, errors.New("more data in the map than in the archive")
		}
		end = s.offset + s.size
		if s.size > 0 {
			pieces = append(pieces, Piece{Offset: s.offset, At: at, Size: s.size})
		}
		at, stored = at+s.size, stored-s.size
	}
	if stored != 0 {
		return nil, fmt.Errorf("%d bytes of data that the map does not place", stored)
	}
	return pieces, nil
}
