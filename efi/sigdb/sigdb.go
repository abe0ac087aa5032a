// Package sigdb makes and reads what Secure Boot's variables PK, KEK and db hold:
// signature lists (UEFI 2.10, 32.4.1), and the signed updates that firmware takes
// for them (time-based authenticated variables, UEFI 2.10, 8.2.2). Such an update
// is the content of an .auth file as systemd-boot enrols it.
//
// Left out: hashes (dbx), other kinds of certificate, appending writes.
package sigdb

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ketch-os/ketch/internal/guid"
)

// signatureList is EFI_SIGNATURE_LIST; signatures follow, all of one size.
type signatureList struct {
	Type          guid.GUID // 0
	ListSize      uint32    // 16: of all of it
	HeaderSize    uint32    // 20: 0 for certificates
	SignatureSize uint32    // 24: of one owner and its data
}

const (
	sizeGUID          = 16
	sizeSignatureList = 28
)

// Signature is one certificate in a signature list.
type Signature struct {
	Owner       guid.GUID // who put it there
	Certificate *x509.Certificate
}

// List encodes certificates of one owner, each as a signature list of its own
// since their sizes differ.
func List(owner guid.GUID, certificates ...*x509.Certificate) []byte {
	var b []byte
	for _, c := range certificates {
		size := uint32(sizeGUID + len(c.Raw))
		b = appendRecord(b, signatureList{certX509(), sizeSignatureList + size, 0, size})
		b = appendRecord(b, owner)
		b = append(b, c.Raw...)
	}
	return b
}

// ParseList reads signature lists of certificates, one after the other.
func ParseList(b []byte) ([]Signature, error) {
	var signatures []Signature
	for len(b) > 0 {
		found, rest, err := parseList(b)
		if err != nil {
			return nil, fmt.Errorf("parse signature list: %w", err)
		}
		signatures, b = append(signatures, found...), rest
	}
	return signatures, nil
}

func parseList(b []byte) (signatures []Signature, rest []byte, err error) {
	var head signatureList
	if _, err := binary.Decode(b, binary.LittleEndian, &head); err != nil {
		return nil, nil, errors.New("ends within its header")
	}
	switch {
	case head.Type != certX509():
		return nil, nil, fmt.Errorf("signatures of type %v are not X.509 certificates", head.Type)
	case head.HeaderSize != 0:
		return nil, nil, fmt.Errorf("signature header of %d bytes", head.HeaderSize)
	case head.ListSize < sizeSignatureList || int64(head.ListSize) > int64(len(b)):
		return nil, nil, fmt.Errorf("list of %d bytes", head.ListSize)
	case head.SignatureSize <= sizeGUID || (head.ListSize-sizeSignatureList)%head.SignatureSize != 0:
		return nil, nil, fmt.Errorf("signatures of %d bytes in a list of %d", head.SignatureSize, head.ListSize)
	}
	for body := b[sizeSignatureList:head.ListSize]; len(body) > 0; body = body[head.SignatureSize:] {
		s, err := parseSignature(body[:head.SignatureSize])
		if err != nil {
			return nil, nil, err
		}
		signatures = append(signatures, s)
	}
	return signatures, b[head.ListSize:], nil
}

func parseSignature(b []byte) (s Signature, err error) {
	if _, err := binary.Decode(b, binary.LittleEndian, &s.Owner); err != nil {
		return s, err
	}
	s.Certificate, err = x509.ParseCertificate(b[sizeGUID:])
	return s, err
}

// appendRecord appends a record of fixed size, which cannot fail.
func appendRecord(b []byte, record any) []byte {
	b, err := binary.Append(b, binary.LittleEndian, record)
	if err != nil {
		panic("sigdb: encode: " + err.Error())
	}
	return b
}
