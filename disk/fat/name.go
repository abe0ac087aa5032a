package fat

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	longUnits    = 13  // UTF-16 units in a longEntry
	maxLongUnits = 255 // in a name
	maxTail      = 999999
)

// shortName is a name in 8.3 form, padded with spaces, without the period.
type shortName [11]byte

var (
	dot    = shortName([]byte(".          "))
	dotDot = shortName([]byte("..         "))
)

// checkName tells whether a name is a legal long name that every system reads
// back the same (fatgen103, "Long Name Limits and Character Sets"): trailing
// periods and spaces, which drivers strip, are refused.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("name %q is not allowed", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q is not valid UTF-8", name)
	case len(utf16.Encode([]rune(name))) > maxLongUnits:
		return fmt.Errorf("name %q is longer than %d UTF-16 units", name, maxLongUnits)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("name %q ends with a period or a space", name)
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f || strings.ContainsRune(`"*/:<>?\|`, c) {
			return fmt.Errorf("name %q contains the character %q", name, c)
		}
	}
	return nil
}

// fold returns what two names have in common when FAT takes them for the same.
func fold(name string) string { return strings.ToUpper(name) }

// isShort tells whether c may stand in a short name.
func isShort(c rune) bool {
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("$%'-_@~`!(){}^#&", c)
}

// basisName is the start of a short name (fatgen103, "The Basis-Name Generation
// Algorithm"): at most eight characters and an extension of at most three.
type basisName struct {
	base, ext string
	lossy     bool // the long name holds more than upper and lower case can tell
}

// basis makes the basis name of a long name: upper case, without spaces and
// leading periods, _ for what short names cannot have, the base up to the first
// period, the extension after the last.
func basis(name string) basisName {
	clean := strings.TrimLeft(strings.ReplaceAll(strings.ToUpper(name), " ", ""), ".")
	base, _, _ := strings.Cut(clean, ".")
	ext := ""
	if last := strings.LastIndexByte(clean, '.'); last >= 0 {
		ext = clean[last+1:]
	}
	b := basisName{base: shortPart(base, 8), ext: shortPart(ext, 3)}
	b.lossy = !strings.EqualFold(b.String(), name)
	return b
}

// shortPart turns what a short name cannot have into _ and cuts it to length.
func shortPart(s string, length int) string {
	s = strings.Map(func(c rune) rune {
		if isShort(c) {
			return c
		}
		return '_'
	}, s)
	return s[:min(len(s), length)]
}

func (b basisName) String() string {
	if b.ext == "" {
		return b.base
	}
	return b.base + "." + b.ext
}

// plain returns the short name without a numeric tail.
func (b basisName) plain() shortName {
	return shortName([]byte(fmt.Sprintf("%-8s%-3s", b.base, b.ext)))
}

// stem is the part of b that every numeric tail leaves room for. Names of one
// stem draw from one sequence of tails.
func (b basisName) stem() basisName {
	b.base = b.base[:min(len(b.base), 6)]
	return b
}

// tailed returns the short name with the numeric tail ~n.
func (b basisName) tailed(n int) shortName {
	tail := fmt.Sprintf("~%d", n)
	b.base = b.base[:min(len(b.base), 8-len(tail))] + tail
	return b.plain()
}

// shortNames gives each of the long names of one directory a short name. Short
// and long names share one name space: names that are their own short name
// take it first, the rest get the first numeric tail that is free, in order.
func shortNames(long []string) ([]shortName, error) {
	short := make([]shortName, len(long))
	taken := make(map[shortName]bool)
	for i, name := range long {
		if b := basis(name); !b.lossy {
			short[i] = b.plain()
			taken[short[i]] = true
		}
	}
	next := make(map[basisName]int)
	for i, name := range long {
		b := basis(name).stem()
		if !b.lossy {
			continue
		}
		n := next[b] + 1
		for ; n <= maxTail && taken[b.tailed(n)]; n++ {
		}
		if n > maxTail {
			return nil, fmt.Errorf("name %q: no short name is left", name)
		}
		next[b] = n
		short[i] = b.tailed(n)
		taken[short[i]] = true
	}
	return short, nil
}

// needsLong tells whether the short name alone would lose something of name.
func needsLong(name string, short shortName) bool { return short.text(0) != name }

// text returns the name as people write it, NAME.EXT, with the parts that
// Windows NT marked as lower case. Bytes above 127, whose code page is not
// recorded anywhere, are taken for Latin-1.
func (s shortName) text(ntRes uint8) string {
	if s[0] == entryE5 {
		s[0] = entryFree
	}
	base, ext := latin1(s[:8]), latin1(s[8:])
	if ntRes&ntLowerBase != 0 {
		base = strings.ToLower(base)
	}
	if ntRes&ntLowerExt != 0 {
		ext = strings.ToLower(ext)
	}
	if ext == "" {
		return base
	}
	return base + "." + ext
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return strings.TrimRight(string(runes), " ")
}

// checksum ties long entries to their short one (fatgen103, ChkSum).
func (s shortName) checksum() uint8 {
	var sum uint8
	for _, c := range s {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// longEntries encodes a long name, its last part first, as the entries that
// precede the short one. A name that leaves room ends in a NUL and ones.
func longEntries(name string, short shortName) []longEntry {
	units := utf16.Encode([]rune(name))
	if len(units)%longUnits != 0 {
		units = append(units, 0)
	}
	for len(units)%longUnits != 0 {
		units = append(units, 0xffff)
	}
	var entries []longEntry
	for n := len(units) / longUnits; n > 0; n-- {
		part := units[(n-1)*longUnits : n*longUnits]
		entries = append(entries, longEntry{
			Ord: uint8(n), Attr: attrLong, Chksum: short.checksum(),
			Name1: [5]uint16(part[:5]), Name2: [6]uint16(part[5:11]), Name3: [2]uint16(part[11:]),
		})
	}
	entries[0].Ord |= lastLong
	return entries
}

// longName puts together the name in entries that stand in the order of the
// directory. It reports false for anything but a whole, valid name that belongs to short.
func longName(entries []longEntry, short shortName) (string, bool) {
	if len(entries) > maxLongUnits/longUnits+1 {
		return "", false
	}
	var units []uint16
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		want := uint8(len(entries) - i)
		if i == 0 {
			want |= lastLong
		}
		if e.Ord != want || e.Chksum != short.checksum() || e.Type != 0 || e.FstClusLO != 0 {
			return "", false
		}
		units = append(units, e.units()...)
	}
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	name := string(utf16.Decode(units))
	return name, slices.Equal(utf16.Encode([]rune(name)), units) && canRead(name)
}

// canRead tells whether a name from a disk can be an element of a path.
func canRead(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// volumeLabel encodes a label: at most 11 of the characters of short names, and spaces within.
func volumeLabel(label string) (shortName, error) {
	if label == "" {
		return shortName([]byte("NO NAME    ")), nil
	}
	if len(label) > 11 {
		return shortName{}, fmt.Errorf("label %q is longer than 11 characters", label)
	}
	for _, c := range label {
		if !isShort(c) && c != ' ' {
			return shortName{}, fmt.Errorf("label %q contains the character %q", label, c)
		}
	}
	if strings.TrimSpace(label) != label {
		return shortName{}, fmt.Errorf("label %q starts or ends with a space", label)
	}
	return shortName([]byte(fmt.Sprintf("%-11s", label))), nil
}

// label returns a volume label as text.
func (s shortName) label() string { return latin1(s[:]) }
