package verity

import (
	"encoding/hex"
	"fmt"
)

// RootHash is the root digest of a hash tree. It names the content of the data
// exactly, and so a version of the OS. Zero names none.
//
// The type lives here, below everything that speaks of versions: the boot record
// holds it, PID 1 and the builder read it from a command line.
type RootHash [32]byte

// ParseRootHash reads 64 hexadecimal digits.
func ParseRootHash(text string) (root RootHash, err error) {
	if len(text) != 2*len(root) {
		return RootHash{}, fmt.Errorf("root hash %.80q: want %d hexadecimal digits", text, 2*len(root))
	}
	if _, err := hex.Decode(root[:], []byte(text)); err != nil {
		return RootHash{}, fmt.Errorf("root hash %.80q: want %d hexadecimal digits", text, 2*len(root))
	}
	return root, nil
}

// String returns the digits, in small letters.
func (r RootHash) String() string { return hex.EncodeToString(r[:]) }

// IsZero tells whether r names nothing.
func (r RootHash) IsZero() bool { return r == RootHash{} }

// MarshalText gives JSON the digits.
func (r RootHash) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the digits.
func (r *RootHash) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRootHash(string(text))
	return err
}
