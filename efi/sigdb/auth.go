package sigdb

import (
	"crypto"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ketch-os/ketch/efi/pkcs7"
	"github.com/ketch-os/ketch/internal/guid"
)

// Variable is the name of a Secure Boot variable.
type Variable string

// The variables (UEFI 2.10, 3.3). PK signs updates of itself and of KEK, KEK
// those of db, and db signs what the machine boots.
const (
	PK  Variable = "PK"
	KEK Variable = "KEK"
	DB  Variable = "db"
)

// vendor is the GUID in which the variable lives.
func (v Variable) vendor() (guid.GUID, error) {
	switch v {
	case PK, KEK:
		return globalVariable(), nil
	case DB:
		return imageSecurityDatabase(), nil
	}
	return guid.GUID{}, fmt.Errorf("variable %q is not PK, KEK or db", string(v))
}

// efiTime is EFI_TIME (UEFI 2.10, 8.3); in an update all but the date and the
// time of day are zero.
type efiTime struct {
	Year       uint16 // 0
	Month      uint8  // 2
	Day        uint8  // 3
	Hour       uint8  // 4
	Minute     uint8  // 5
	Second     uint8  // 6
	Pad1       uint8  // 7
	Nanosecond uint32 // 8
	TimeZone   int16  // 12
	Daylight   uint8  // 14
	Pad2       uint8  // 15
}

// authentication heads an update: EFI_VARIABLE_AUTHENTICATION_2, whose AuthInfo is
// WIN_CERTIFICATE_UEFI_GUID. A PKCS #7 SignedData follows, then the new content.
type authentication struct {
	Time     efiTime   // 0
	Length   uint32    // 16: from here to the end of SignedData
	Revision uint16    // 20
	Type     uint16    // 22
	CertType guid.GUID // 24
}

const (
	sizeTime           = 16
	sizeAuthentication = 40

	revision2   = 0x0200
	typeEFIGUID = 0x0ef1 // WIN_CERT_TYPE_EFI_GUID
	attributes  = 0x27   // non-volatile, boot and runtime access, time-based authenticated
	minYear     = 1900
	maxYear     = 9999
)

// Auth makes the signed update that sets variable v to content, a signature list.
// Firmware refuses an update whose time is not after that of the last one.
func Auth(v Variable, content []byte, at time.Time, key crypto.Signer, certificate *x509.Certificate) ([]byte, error) {
	b, err := auth(v, content, at, key, certificate)
	if err != nil {
		return nil, fmt.Errorf("sign update of variable %s: %w", v, err)
	}
	return b, nil
}

func auth(v Variable, content []byte, at time.Time, key crypto.Signer, certificate *x509.Certificate) ([]byte, error) {
	stamp, err := encodeTime(at)
	if err != nil {
		return nil, err
	}
	message, err := signedMessage(v, stamp, content)
	if err != nil {
		return nil, err
	}
	signature, err := pkcs7.New(pkcs7.TypeData(), nil, certificate)
	if err != nil {
		return nil, err
	}
	if err := signature.Sign(message, key); err != nil {
		return nil, err
	}
	signed, err := signature.Marshal()
	if err != nil {
		return nil, err
	}
	length := uint32(sizeAuthentication - sizeTime + len(signed))
	b := appendRecord(nil, authentication{stamp, length, revision2, typeEFIGUID, certPKCS7()})
	return append(append(b, signed...), content...), nil
}

// signedMessage is what the signature is made over (UEFI 2.10, 8.2.2): the name in
// UTF-16 without a NUL, the vendor, the attributes, the time, the content.
func signedMessage(v Variable, stamp efiTime, content []byte) ([]byte, error) {
	vendor, err := v.vendor()
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, c := range []byte(v) { // ASCII
		b = append(b, c, 0)
	}
	b = appendRecord(b, vendor)
	b = appendRecord(b, uint32(attributes))
	b = appendRecord(b, stamp)
	return append(b, content...), nil
}

// Update is a signed update of a variable.
type Update struct {
	Time    time.Time
	Content []byte // a signature list: see ParseList

	stamp     efiTime
	signature *pkcs7.SignedData
}

// ParseAuth reads a signed update.
func ParseAuth(b []byte) (*Update, error) {
	u, err := parseAuth(b)
	if err != nil {
		return nil, fmt.Errorf("parse signed update: %w", err)
	}
	return u, nil
}

func parseAuth(b []byte) (*Update, error) {
	var head authentication
	if _, err := binary.Decode(b, binary.LittleEndian, &head); err != nil {
		return nil, errors.New("ends within its header")
	}
	if head.Revision != revision2 || head.Type != typeEFIGUID || head.CertType != certPKCS7() {
		return nil, fmt.Errorf("certificate of revision %#x, type %#x, %v is no PKCS #7 signature", head.Revision, head.Type, head.CertType)
	}
	end := sizeTime + int64(head.Length)
	if end < sizeAuthentication || end > int64(len(b)) {
		return nil, fmt.Errorf("certificate of %d bytes", head.Length)
	}
	at, err := decodeTime(head.Time)
	if err != nil {
		return nil, err
	}
	signature, err := pkcs7.Parse(b[sizeAuthentication:end])
	return &Update{at, b[end:], head.Time, signature}, err
}

// Verify checks that the update is for variable v and signed by one of the
// certificates, or by one that they issued.
func (u *Update) Verify(v Variable, certificates ...*x509.Certificate) error {
	message, err := signedMessage(v, u.stamp, u.Content)
	if err == nil {
		err = u.signature.Verify(message, certificates...)
	}
	if err != nil {
		return fmt.Errorf("verify update of variable %s: %w", v, err)
	}
	return nil
}

func encodeTime(t time.Time) (efiTime, error) {
	t = t.UTC()
	if t.Year() < minYear || t.Year() > maxYear {
		return efiTime{}, fmt.Errorf("year %d is not one of EFI", t.Year())
	}
	return efiTime{
		Year: uint16(t.Year()), Month: uint8(t.Month()), Day: uint8(t.Day()),
		Hour: uint8(t.Hour()), Minute: uint8(t.Minute()), Second: uint8(t.Second()),
	}, nil
}

// decodeTime accepts only what encodeTime makes.
func decodeTime(e efiTime) (time.Time, error) {
	t := time.Date(int(e.Year), time.Month(e.Month), int(e.Day), int(e.Hour), int(e.Minute), int(e.Second), 0, time.UTC)
	if again, err := encodeTime(t); err != nil || again != e {
		return t, fmt.Errorf("time %+v is not one of an update", e)
	}
	return t, nil
}
