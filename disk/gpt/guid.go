package gpt

import "github.com/ketch-os/ketch/internal/guid"

// GUID is an identifier of a disk, a partition or a type of partition. Zero marks an
// unused entry.
type GUID = guid.GUID

// UUID returns the GUID whose text shows the bytes of b in order, for example one
// half of a root hash.
func UUID(b [16]byte) GUID { return guid.UUID(b) }

// ParseGUID reads the text form, in either case.
func ParseGUID(s string) (GUID, error) { return guid.Parse(s) }

// MustParseGUID is ParseGUID for constants: it panics on a bad text.
func MustParseGUID(s string) GUID { return guid.MustParse(s) }
