package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// xattrHeader comes first behind an inode that has extended attributes, then
// SharedCount numbers of shared ones (4 bytes each), then inline entries.
type xattrHeader struct {
	Filter      uint32  // 0: Linux 6.6's name filter; zero before
	SharedCount uint8   // 4
	Reserved    [7]byte // 5
}

// xattrEntry is one attribute; its name, without what Prefix stands for, and
// its value follow, then zeros up to a multiple of 4 bytes.
type xattrEntry struct {
	NameLength  uint8  // 0
	Prefix      uint8  // 1: index into xattrPrefixes
	ValueLength uint16 // 2
}

const (
	xattrHeaderSize = 12
	xattrEntrySize  = 4
	xattrAlign      = 4
	maxXattrValue   = 1<<16 - 1
	maxXattrName    = 255 // XATTR_NAME_MAX, prefix included
)

// xattrPrefixes are the name spaces that EROFS knows. An ACL's name is all prefix.
var xattrPrefixes = [...]string{
	1: "user.",
	2: "system.posix_acl_access",
	3: "system.posix_acl_default",
	4: "trusted.",
	6: "security.",
}

// CheckXattr says whether EROFS has a place for an extended attribute of this
// name: those of user, trusted and security, and the two of POSIX ACLs.
func CheckXattr(name string) error {
	_, _, err := splitXattr(name)
	return err
}

// splitXattr splits a name into the index of its prefix and the rest.
func splitXattr(name string) (prefix uint8, rest string, err error) {
	for i, p := range xattrPrefixes {
		rest, ok := strings.CutPrefix(name, p)
		if p == "" || !ok {
			continue
		}
		if whole := !strings.HasSuffix(p, "."); whole != (rest == "") {
			continue
		}
		return uint8(i), rest, nil
	}
	return 0, "", errors.New("EROFS has no place for a name like this")
}

// encodeXattrs returns what follows the inode: nothing, or a header and the
// attributes sorted by name.
func encodeXattrs(xattrs map[string][]byte) ([]byte, error) {
	if len(xattrs) == 0 {
		return nil, nil
	}
	b := encode(xattrHeader{})
	for _, name := range slices.Sorted(maps.Keys(xattrs)) {
		entry, err := encodeXattr(name, xattrs[name])
		if err != nil {
			return nil, fmt.Errorf("extended attribute %q: %w", name, err)
		}
		b = append(b, entry...)
	}
	if _, err := xattrCount(len(b)); err != nil {
		return nil, err
	}
	return b, nil
}

func encodeXattr(name string, value []byte) ([]byte, error) {
	prefix, rest, err := splitXattr(name)
	switch {
	case err != nil:
		return nil, err
	case len(name) > maxXattrName || strings.ContainsRune(name, 0):
		return nil, fmt.Errorf("name of %d bytes, at most %d and no NUL", len(name), maxXattrName)
	case len(value) > maxXattrValue:
		return nil, fmt.Errorf("value of %d bytes, at most %d", len(value), maxXattrValue)
	}
	b := encode(xattrEntry{uint8(len(rest)), prefix, uint16(len(value))})
	b = append(append(b, rest...), value...)
	return append(b, make([]byte, -len(b)&(xattrAlign-1))...), nil
}

// xattrCount returns the inode's XattrCount for size bytes of attributes, header included.
func xattrCount(size int) (uint16, error) {
	if size == 0 {
		return 0, nil
	}
	n := (size-xattrHeaderSize)/xattrAlign + 1
	if n > 1<<16-1 {
		return 0, fmt.Errorf("%d bytes of extended attributes, at most %d", size, xattrSpace(1<<16-1))
	}
	return uint16(n), nil
}

// xattrSpace undoes xattrCount.
func xattrSpace(count uint16) int64 {
	if count == 0 {
		return 0
	}
	return xattrHeaderSize + (int64(count)-1)*xattrAlign
}

// Xattrs returns the extended attributes of an inode that Walk or a FileInfo told about.
func (f *FS) Xattrs(s *Stat) (map[string][]byte, error) {
	in, err := f.inode(s.NID)
	if err != nil {
		return nil, fmt.Errorf("read extended attributes: %w", err)
	}
	xattrs := make(map[string][]byte)
	if in.xattrs == 0 {
		return xattrs, nil
	}
	if err := f.readXattrs(in, xattrs); err != nil {
		return nil, fmt.Errorf("read extended attributes of inode %d: %w", in.NID, err)
	}
	return xattrs, nil
}

func (f *FS) readXattrs(in *inode, xattrs map[string][]byte) error {
	raw := make([]byte, in.xattrs)
	if err := f.readAt(raw, in.xattrPos); err != nil {
		return err
	}
	var header xattrHeader
	if _, err := binary.Decode(raw, binary.LittleEndian, &header); err != nil {
		return err
	}
	shared, raw := int(header.SharedCount)*4, raw[xattrHeaderSize:]
	if shared > len(raw) {
		return corrupt("%d shared attributes do not fit", header.SharedCount)
	}
	for i := 0; i < shared; i += 4 {
		if err := f.readShared(binary.LittleEndian.Uint32(raw[i:]), xattrs); err != nil {
			return err
		}
	}
	for raw = raw[shared:]; len(raw) > 0; {
		n, err := decodeXattr(raw, xattrs)
		if err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

// readShared reads the attribute that lies at id, counted in units of 4 bytes
// from the superblock's XattrBlock.
func (f *FS) readShared(id uint32, xattrs map[string][]byte) error {
	off := int64(f.super.XattrBlock)*BlockSize + int64(id)*4
	raw := make([]byte, xattrEntrySize)
	if err := f.readAt(raw, off); err != nil {
		return err
	}
	var e xattrEntry
	if _, err := binary.Decode(raw, binary.LittleEndian, &e); err != nil {
		return err
	}
	raw = make([]byte, e.size())
	if err := f.readAt(raw, off); err != nil {
		return err
	}
	_, err := decodeXattr(raw, xattrs)
	return err
}

// size is how many bytes an attribute takes, but for the zeros that follow.
func (e xattrEntry) size() int {
	return xattrEntrySize + int(e.NameLength) + int(e.ValueLength)
}

// decodeXattr reads one attribute and returns how many bytes it takes.
func decodeXattr(raw []byte, xattrs map[string][]byte) (int, error) {
	var e xattrEntry
	if _, err := binary.Decode(raw, binary.LittleEndian, &e); err != nil {
		return 0, err
	}
	if e.size() > len(raw) {
		return 0, corrupt("attribute of %d bytes in %d", e.size(), len(raw))
	}
	if int(e.Prefix) >= len(xattrPrefixes) || xattrPrefixes[e.Prefix] == "" {
		return 0, corrupt("attribute of the unknown name space %d", e.Prefix)
	}
	rest, value := raw[xattrEntrySize:][:e.NameLength], raw[xattrEntrySize:e.size()][e.NameLength:]
	name := xattrPrefixes[e.Prefix] + string(rest)
	if _, twice := xattrs[name]; twice {
		return 0, corrupt("attribute %q appears twice", name)
	}
	xattrs[name] = slices.Clone(value)
	return min(int(roundUp(int64(e.size()), xattrAlign)), len(raw)), nil
}
