package pe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Revision and type of the certificates that Authenticode uses (UEFI 2.10, 32.2.4).
const (
	CertificateRevision2  = 0x0200
	CertificateSignedData = 0x0002 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
)

// Certificate is one entry of the attribute certificate table.
type Certificate struct {
	Revision, Type uint16
	Data           []byte
}

// Signed reports whether the image has a certificate table.
func (m *Image) Signed() bool { return m.directories[directoryCertificates].Size > 0 }

// Certificates lists the entries of the certificate table. Zeros that pad an entry
// may follow its data.
func (m *Image) Certificates() ([]Certificate, error) {
	var list []Certificate
	for rest := m.raw[m.contentEnd():]; len(rest) > 0; {
		var head winCertificate
		if _, err := binary.Decode(rest, binary.LittleEndian, &head); err != nil {
			return nil, errors.New("read certificate table: it ends within an entry")
		}
		if head.Length < sizeCertificate || int64(head.Length) > int64(len(rest)) {
			return nil, fmt.Errorf("read certificate table: entry of %d bytes", head.Length)
		}
		list = append(list, Certificate{head.Revision, head.Type, rest[sizeCertificate:head.Length:head.Length]})
		rest = rest[min(int(head.Length)+padding(int(head.Length)), len(rest)):]
	}
	return list, nil
}

// SetCertificates replaces the certificate table; with no argument it removes it.
// An entry's length does not count its padding: who reads the data gets the
// signature and nothing behind it ("PE Format", "The Attribute Certificate
// Table": the next entry is at the length, rounded up to 8 bytes).
func (m *Image) SetCertificates(certificates ...Certificate) error {
	end := m.contentEnd()
	raw := append(m.raw[:end:end], make([]byte, padding(end))...)
	start := len(raw)
	for _, c := range certificates {
		size := sizeCertificate + len(c.Data)
		head := winCertificate{uint32(size), c.Revision, c.Type}
		raw, _ = binary.Append(raw, binary.LittleEndian, head) // a fixed-size record: it cannot fail
		raw = append(raw, c.Data...)
		raw = append(raw, make([]byte, padding(size))...)
	}
	if len(raw) > math.MaxUint32 {
		return errors.New("set certificate table: image would pass 4 GiB")
	}
	m.raw = raw
	m.directories[directoryCertificates] = dataDirectory{}
	if len(certificates) > 0 {
		m.directories[directoryCertificates] = dataDirectory{uint32(start), uint32(len(raw) - start)}
	}
	m.seal()
	return nil
}

// contentEnd is where the certificate table starts, or the file ends.
func (m *Image) contentEnd() int {
	if m.Signed() {
		return int(m.directories[directoryCertificates].Address)
	}
	return len(m.raw)
}

// checkCertificateTable makes sure that the table is the last thing in the file:
// then everything before it is in the digest.
func (m *Image) checkCertificateTable() error {
	table := m.directories[directoryCertificates]
	switch start := int64(table.Address); {
	case table.Size == 0 && table.Address != 0:
		return errors.New("certificate table has a place and no size")
	case table.Size == 0:
		return nil
	case start%certificateAlignment != 0:
		return fmt.Errorf("certificate table at %d is not aligned", start)
	case start < int64(m.sectionsEnd()):
		return errors.New("certificate table overlaps a section")
	case start+int64(table.Size) != int64(len(m.raw)):
		return errors.New("certificate table does not end where the file does")
	}
	return nil
}
