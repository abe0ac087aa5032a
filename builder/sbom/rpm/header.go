package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"
)

// A header is what a package says of itself (RPM's manual, "Package format", section
// "Header"), in the database without its magic number:
//
//	0  4  entries in the index, big-endian
//	4  4  bytes of data
//	8  …  the index: tag, type, offset into the data, count, each 4 bytes
//	   …  the data
type entry struct {
	Tag, Type, Offset, Count uint32
}

// The tags that are read (RPM's manual, "Tags").
const (
	tagName       = 1000
	tagVersion    = 1001
	tagRelease    = 1002
	tagEpoch      = 1003
	tagLicence    = 1014
	tagArch       = 1022
	tagSource     = 1044
	tagDirIndexes = 1116
	tagBaseNames  = 1117
	tagDirNames   = 1118
)

// The types of what they have.
const (
	typeInt32  = 4
	typeString = 6
	typeArray  = 8
	typeI18N   = 9 // an array of a text in several languages; the first is the one without
)

// maxEntries bounds the index; RPM's own bound for entries and data is far above.
const maxEntries = 0xffff

// maxPath bounds a file's path, in bytes: the kernel takes none that is longer (PATH_MAX).
const maxPath = 4096

// maxPaths bounds the bytes of all paths of a package, in those of its header. Each file
// repeats the name of its directory. What the header tells of a file takes some 80 bytes.
const maxPaths = 16

// header is one that is being read.
type header struct {
	entries map[uint32]entry
	data    []byte
}

// parseHeader reads a package's header.
func parseHeader(blob []byte) (p Package, err error) {
	h, err := newHeader(blob)
	if err != nil {
		return p, fmt.Errorf("header of a package: %w", err)
	}
	var release string
	for _, field := range []struct {
		tag  uint32
		text *string
	}{
		{tagName, &p.Name}, {tagVersion, &p.Version}, {tagRelease, &release},
		{tagLicence, &p.Licence}, {tagArch, &p.Architecture}, {tagSource, &p.Source},
	} {
		if *field.text, err = h.text(field.tag); err != nil {
			return p, fmt.Errorf("header of a package: tag %d: %w", field.tag, err)
		}
	}
	if p.Name == "" || p.Version == "" || strings.ContainsAny(p.Name+p.Architecture, "/ ") {
		return p, fmt.Errorf("package %q has the version %q", p.Name, p.Version)
	}
	if release != "" {
		p.Version += "-" + release
	}
	epoch, err := h.numbers(tagEpoch)
	if err == nil && len(epoch) > 0 {
		p.Epoch = int(epoch[0])
	}
	if err == nil {
		p.Files, err = h.files()
	}
	if err != nil {
		return p, fmt.Errorf("header of package %s: %w", p.Name, err)
	}
	return p, nil
}

func newHeader(blob []byte) (*header, error) {
	var counts struct{ Entries, Data uint32 }
	r := bytes.NewReader(blob)
	if err := binary.Read(r, binary.BigEndian, &counts); err != nil {
		return nil, errors.New("is cut off")
	}
	if counts.Entries > maxEntries || int64(counts.Entries)*int64(binary.Size(entry{}))+int64(counts.Data) > int64(r.Len()) {
		return nil, fmt.Errorf("tells of %d entries and %d bytes in %d", counts.Entries, counts.Data, len(blob))
	}
	index := make([]entry, counts.Entries)
	if err := binary.Read(r, binary.BigEndian, index); err != nil {
		return nil, err
	}
	h := &header{map[uint32]entry{}, blob[len(blob)-r.Len():][:counts.Data]}
	for _, e := range index {
		if e.Offset > counts.Data {
			return nil, fmt.Errorf("tag %d lies at byte %d of %d", e.Tag, e.Offset, counts.Data)
		}
		h.entries[e.Tag] = e
	}
	return h, nil
}

// text returns a text, "" for a tag that is not there.
func (h *header) text(tag uint32) (string, error) {
	e, ok := h.entries[tag]
	if !ok {
		return "", nil
	}
	if e.Type != typeString && e.Type != typeI18N {
		return "", fmt.Errorf("is of type %d, no text", e.Type)
	}
	list, err := h.strings(e, 1)
	if err != nil {
		return "", err
	}
	return list[0], nil
}

// strings returns texts that follow each other, each with a NUL behind it.
func (h *header) strings(e entry, count uint32) ([]string, error) {
	rest := h.data[e.Offset:]
	var list []string
	for range count {
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return nil, errors.New("is cut off")
		}
		list, rest = append(list, string(rest[:end])), rest[end+1:]
	}
	return list, nil
}

// array returns a list of texts.
func (h *header) array(tag uint32) ([]string, error) {
	e, ok := h.entries[tag]
	if !ok {
		return nil, nil
	}
	if e.Type != typeArray {
		return nil, fmt.Errorf("tag %d is of type %d, no list of texts", tag, e.Type)
	}
	return h.strings(e, e.Count)
}

// numbers returns a list of numbers of 32 bits.
func (h *header) numbers(tag uint32) ([]uint32, error) {
	e, ok := h.entries[tag]
	if !ok {
		return nil, nil
	}
	data := h.data[e.Offset:]
	if e.Type != typeInt32 || int64(e.Count)*4 > int64(len(data)) {
		return nil, fmt.Errorf("tag %d is of type %d, %d of them in %d bytes; want numbers", tag, e.Type, e.Count, len(data))
	}
	list := make([]uint32, e.Count)
	for i := range list {
		list[i] = binary.BigEndian.Uint32(data[4*i:])
	}
	return list, nil
}

// files returns the package's files: a list of directories, and for each file its
// name and the number of its directory.
func (h *header) files() ([]string, error) {
	dirs, err := h.array(tagDirNames)
	if err != nil {
		return nil, err
	}
	bases, err := h.array(tagBaseNames)
	if err != nil {
		return nil, err
	}
	of, err := h.numbers(tagDirIndexes)
	if err != nil {
		return nil, err
	}
	if len(of) != len(bases) {
		return nil, fmt.Errorf("%d files in %d directories", len(bases), len(of))
	}
	var files []string
	left := maxPaths * len(h.data)
	for i, base := range bases {
		if int64(of[i]) >= int64(len(dirs)) {
			return nil, fmt.Errorf("file %d lies in directory %d of %d", i, of[i], len(dirs))
		}
		size := len(dirs[of[i]]) + len(base)
		if size > maxPath {
			return nil, fmt.Errorf("file %d has a path of %d bytes, more than %d", i, size, maxPath)
		}
		if left -= size; left < 0 {
			return nil, fmt.Errorf("the paths of %d files are more than %d times as long as what they are made of", len(bases), maxPaths)
		}
		files = append(files, strings.TrimPrefix(path.Join("/", dirs[of[i]], base), "/"))
	}
	return files, nil
}
