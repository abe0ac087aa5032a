// Package iso9660 reads volumes of ISO 9660 (ECMA-119), as far as clouds and hypervisors
// hand a machine its configuration on them: small volumes of a few files.
//
//	sector 16…   volume descriptors: one primary, supplementary ones, a terminator
//	…            path tables, which nothing here needs
//	…            directories, a chain of records each; files, each in one piece
//
// Names are those of Joliet where a volume has it (a supplementary descriptor whose
// escape sequence says UCS-2), else those of Rock Ridge (IEEE P1282, the entry NM of
// SUSP, IEEE P1281), else those of ISO 9660 in lower case and without version.
//
// Open reads every directory, and trusts nothing in it: what a volume takes in memory is
// bounded. Left out: continuation areas of Rock Ridge, with names over some 200 bytes;
// its links, owners and modes; files in several pieces or interleaved; multiple sessions.
package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

const (
	sectorSize = 2048
	// firstDescriptor is the sector where the volume descriptors begin (ECMA-119, 6.2.1).
	firstDescriptor = 16
	// maxDescriptors bounds how many are looked at.
	maxDescriptors = 16
	// maxDirectory bounds a directory in bytes, maxEntries all of a volume's, and
	// maxDepth how deep they lie in each other: ISO 9660 itself allows 8 levels.
	maxDirectory = 256 << 10
	maxEntries   = 4096
	maxDepth     = 16
)

// The kinds of volume descriptors (ECMA-119, 8.1.1).
const (
	kindPrimary       = 1
	kindSupplementary = 2
	kindTerminator    = 255
)

// descriptor is a primary or supplementary volume descriptor (ECMA-119, 8.4 and 8.5).
type descriptor struct {
	Kind      uint8    // 0
	ID        [5]byte  // 1: "CD001"
	Version   uint8    // 6
	Flags     uint8    // 7
	_         [32]byte // 8: system
	Volume    [32]byte // 40
	_         [8]byte  // 72
	Blocks    both32   // 80
	Escape    [32]byte // 88: of a supplementary one
	_         [8]byte  // 120: place in a set
	BlockSize both16   // 128
	_         [24]byte // 132: path tables
	Root      [34]byte // 156: a directory record
}

// both16 and both32 are numbers in both byte orders (ECMA-119, 7.2.3 and 7.3.3).
type (
	both16 struct {
		Little uint16
		_      uint16
	}
	both32 struct {
		Little uint32
		_      uint32
	}
)

// record is the fixed part of a directory record (ECMA-119, 9.1).
type record struct {
	Length     uint8   // 0
	Attributes uint8   // 1: blocks of an extended attribute record before the content
	Extent     both32  // 2
	Size       both32  // 10
	_          [7]byte // 18: time
	Flags      uint8   // 25
	Unit       uint8   // 26
	Gap        uint8   // 27
	_          [4]byte // 28: volume in a set
	NameLength uint8   // 32
}

const (
	recordSize = 33
	flagDir    = 1 << 1
	flagMore   = 1 << 7 // the file goes on in the next record
)

// Volume is an open volume. It is an fs.FS.
type Volume struct {
	Label  string
	r      io.ReaderAt
	size   int64 // of what there is to read
	block  int64
	joliet bool
	skip   int // bytes before SUSP's entries in each record
	root   *node
	left   int // entries that may still be read
}

// node is a file or directory.
type node struct {
	name     string
	dir      bool
	at, size int64
	children []*node
}

// Label returns the label of the volume in r. The error is ErrFormat if r holds none.
func Label(r io.ReaderAt) (string, error) {
	d, err := readDescriptor(r, firstDescriptor)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(d.Volume[:]), " \x00"), nil
}

// ErrFormat is the error of what is no volume of ISO 9660.
var ErrFormat = errors.New("no ISO 9660 volume")

func readDescriptor(r io.ReaderAt, sector int64) (*descriptor, error) {
	raw := make([]byte, sectorSize)
	if _, err := r.ReadAt(raw, sector*sectorSize); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, ErrFormat
		}
		return nil, err
	}
	d := new(descriptor)
	if _, err := binary.Decode(raw, binary.LittleEndian, d); err != nil {
		return nil, err
	}
	if string(d.ID[:]) != "CD001" || d.Version == 0 {
		return nil, ErrFormat
	}
	return d, nil
}

// Open reads the directories of the volume in r, which has size bytes.
func Open(r io.ReaderAt, size int64) (*Volume, error) {
	v := &Volume{r: r, size: size, left: maxEntries}
	d, err := v.choose()
	if err != nil {
		return nil, fmt.Errorf("open ISO 9660 volume: %w", err)
	}
	v.block = int64(d.BlockSize.Little)
	if v.block < 512 || v.block > sectorSize || v.block&(v.block-1) != 0 {
		return nil, fmt.Errorf("open ISO 9660 volume: blocks of %d bytes", v.block)
	}
	root, _, err := v.parse(d.Root[:])
	if err == nil && (root == nil || !root.dir) {
		err = errors.New("the root is no directory")
	}
	if err == nil {
		v.root = root
		if !v.joliet {
			err = v.findSUSP()
		}
	}
	if err == nil {
		err = v.readDirectory(root, maxDepth)
	}
	if err != nil {
		return nil, fmt.Errorf("open ISO 9660 volume: %w", err)
	}
	return v, nil
}

// choose finds the descriptor whose names are the best.
func (v *Volume) choose() (chosen *descriptor, err error) {
	for sector := range int64(maxDescriptors) {
		d, err := readDescriptor(v.r, firstDescriptor+sector)
		if err != nil {
			return nil, err
		}
		switch {
		case d.Kind == kindPrimary && chosen == nil:
			chosen, v.Label = d, strings.TrimRight(string(d.Volume[:]), " \x00")
		case d.Kind == kindSupplementary && chosen != nil && joliet(d.Escape[:]):
			chosen, v.joliet = d, true
		case d.Kind == kindTerminator:
			if chosen == nil {
				return nil, errors.New("no primary volume descriptor")
			}
			return chosen, nil
		}
	}
	return nil, errors.New("the volume descriptors have no end")
}

// joliet tells whether an escape sequence says UCS-2 (Joliet Specification, 1995).
func joliet(escape []byte) bool {
	sequence := string(escape[:3])
	return sequence == "%/@" || sequence == "%/C" || sequence == "%/E"
}

// parse reads a directory record. n is nil where there is none until the next sector.
func (v *Volume) parse(raw []byte) (n *node, system []byte, err error) {
	var r record
	if len(raw) < recordSize || raw[0] == 0 {
		return nil, nil, nil
	}
	if _, err := binary.Decode(raw, binary.LittleEndian, &r); err != nil {
		return nil, nil, err
	}
	end := recordSize + int(r.NameLength)
	if int(r.Length) < end || int(r.Length) > len(raw) {
		return nil, nil, fmt.Errorf("a directory record of %d bytes with a name of %d", r.Length, r.NameLength)
	}
	n = &node{
		name: v.decode(raw[recordSize:end]), dir: r.Flags&flagDir != 0,
		at: (int64(r.Extent.Little) + int64(r.Attributes)) * v.block, size: int64(r.Size.Little),
	}
	switch {
	case r.Flags&flagMore != 0 || r.Unit != 0 || r.Gap != 0:
		return nil, nil, fmt.Errorf("%q lies in several pieces", n.name)
	case n.at+n.size > v.size:
		return nil, nil, fmt.Errorf("%q ends at byte %d of %d", n.name, n.at+n.size, v.size)
	}
	return n, raw[min(end+1-int(r.NameLength)%2, int(r.Length)):r.Length], nil
}

// decode reads a name of the chosen descriptor.
func (v *Volume) decode(raw []byte) string {
	if len(raw) == 1 && raw[0] < 2 { // the directory itself, and the one it lies in
		return ".."[:1+raw[0]]
	}
	name := string(raw)
	if v.joliet {
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(raw[2*i:])
		}
		name = string(utf16.Decode(units))
	} else {
		name = strings.ToLower(name)
	}
	name, _, _ = strings.Cut(name, ";")
	return strings.TrimSuffix(name, ".")
}

// records calls f for each record of a directory.
func (v *Volume) records(dir *node, f func(n *node, system []byte) error) error {
	if dir.size > maxDirectory {
		return fmt.Errorf("directory %q has %d bytes", dir.name, dir.size)
	}
	raw := make([]byte, dir.size)
	if _, err := v.r.ReadAt(raw, dir.at); err != nil && !(errors.Is(err, io.EOF) && len(raw) == 0) {
		return fmt.Errorf("read directory %q: %w", dir.name, err)
	}
	for at := 0; at < len(raw); {
		n, system, err := v.parse(raw[at:min(len(raw), at+255)])
		if err != nil {
			return err
		}
		if n == nil { // records do not cross sectors (ECMA-119, 6.8.1.1)
			at += sectorSize - at%sectorSize
			continue
		}
		if v.left--; v.left < 0 {
			return fmt.Errorf("more than %d files", maxEntries)
		}
		if err := f(n, system); err != nil {
			return err
		}
		at += int(raw[at])
	}
	return nil
}

// findSUSP finds out whether records have entries of SUSP: the root's own record says
// so, with SP (IEEE P1281, 5.3).
func (v *Volume) findSUSP() error {
	v.skip = -1
	done := errors.New("found")
	err := v.records(v.root, func(_ *node, system []byte) error {
		if len(system) >= 7 && string(system[:2]) == "SP" && system[4] == 0xbe && system[5] == 0xef {
			v.skip = int(system[6])
		}
		return done
	})
	if errors.Is(err, done) {
		return nil
	}
	return err
}

// rockRidge is the name that entries of SUSP give, "" for none.
func (v *Volume) rockRidge(system []byte) string {
	if v.joliet || v.skip < 0 || v.skip > len(system) {
		return ""
	}
	name := ""
	for rest := system[v.skip:]; len(rest) >= 4 && int(rest[2]) >= 4 && int(rest[2]) <= len(rest); rest = rest[rest[2]:] {
		if string(rest[:2]) == "NM" && rest[2] >= 5 && rest[4]&0b110 == 0 { // not the names . and ..
			name += string(rest[5:rest[2]])
		}
	}
	return name
}

func (v *Volume) readDirectory(dir *node, depth int) error {
	if depth == 0 {
		return fmt.Errorf("directories lie more than %d deep", maxDepth)
	}
	err := v.records(dir, func(n *node, system []byte) error {
		if n.name == "." || n.name == ".." {
			return nil
		}
		if name := v.rockRidge(system); name != "" {
			n.name = name
		}
		if n.name == "" || strings.ContainsAny(n.name, "/\x00") || n.name == "." || n.name == ".." {
			return fmt.Errorf("%q is no name of a file", n.name)
		}
		dir.children = append(dir.children, n)
		return nil
	})
	if err != nil {
		return err
	}
	for _, child := range dir.children {
		if child.dir {
			if err := v.readDirectory(child, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}
