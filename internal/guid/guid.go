// Package guid is the identifiers of UEFI: GUIDs (UEFI 2.10, appendix A), and how
// they are made of UUIDs (RFC 9562).
package guid

import (
	"encoding/hex"
	"fmt"
)

// GUID is an identifier as it lies on a disk or in a variable: the first three groups of its
// text are little-endian, the last two are bytes in order (UEFI 2.10, appendix A).
type GUID [16]byte

// textOrder gives, for each byte of the text form, its index on the disk. It
// is its own inverse.
var textOrder = [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}

// UUID returns the GUID whose text shows the bytes of b in order (RFC 9562),
// for example one half of a root hash.
func UUID(b [16]byte) GUID {
	var g GUID
	for text, disk := range textOrder {
		g[disk] = b[text]
	}
	return g
}

// Stamp marks bytes as a UUID of a version, 4 for random ones and 8 for those of a
// kind of our own (RFC 9562, 4.1, 4.2).
func Stamp(b [16]byte, version byte) [16]byte {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return b
}

// String returns the text form in lower case: c12a7328-f81f-11d2-ba4b-00a0c93ec93b.
func (g GUID) String() string {
	b := UUID(g)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// IsZero tells whether g is zero, which names nothing.
func (g GUID) IsZero() bool { return g == GUID{} }

// Parse reads the text form, in either case.
func Parse(s string) (GUID, error) {
	bad := func() (GUID, error) {
		return GUID{}, fmt.Errorf("parse GUID %q: want 8-4-4-4-12 hexadecimal digits", s)
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return bad()
	}
	var b [16]byte
	if _, err := hex.Decode(b[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:])); err != nil {
		return bad()
	}
	return UUID(b), nil
}

// MustParse is Parse for constants: it panics on a bad text.
func MustParse(s string) GUID {
	g, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return g
}

// MarshalText gives JSON the text form.
func (g GUID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the text form.
func (g *GUID) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*g = parsed
	return nil
}
