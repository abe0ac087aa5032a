package sigdb

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// GUID is an EFI_GUID in its binary form: the first three groups of the text are
// little-endian (UEFI 2.10, appendix A).
type GUID struct {
	A uint32  // 0
	B uint16  // 4
	C uint16  // 6
	D [8]byte // 8
}

// ParseGUID reads the 36 characters of the text form, in either case.
func ParseGUID(s string) (GUID, error) {
	parts := strings.Split(s, "-")
	b, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil || len(b) != 16 || len(parts) != 5 ||
		len(parts[0]) != 8 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 4 {
		return GUID{}, fmt.Errorf("parse GUID %q: not of the form 8-4-4-4-12 hex digits", s)
	}
	be := binary.BigEndian
	return GUID{be.Uint32(b), be.Uint16(b[4:]), be.Uint16(b[6:]), [8]byte(b[8:])}, nil
}

// String returns the text form, in lower case.
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", g.A, g.B, g.C, g.D[:2], g.D[2:])
}

// GUIDs of UEFI 2.10: 32.4.1 and 8.2.6.
func certX509() GUID { // EFI_CERT_X509_GUID
	return GUID{0xa5c059a1, 0x94e4, 0x4aa7, [8]byte{0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}}
}
func certPKCS7() GUID { // EFI_CERT_TYPE_PKCS7_GUID
	return GUID{0x4aafd29d, 0x68df, 0x49ee, [8]byte{0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7}}
}
func globalVariable() GUID { // EFI_GLOBAL_VARIABLE
	return GUID{0x8be4df61, 0x93ca, 0x11d2, [8]byte{0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}}
}
func imageSecurityDatabase() GUID { // EFI_IMAGE_SECURITY_DATABASE_GUID
	return GUID{0xd719b2cb, 0x3d3a, 0x4596, [8]byte{0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}}
}
