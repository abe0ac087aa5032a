package authenticode

import (
	"crypto/x509"

	"github.com/ketch-os/ketch/efi/pe"
	"github.com/ketch-os/ketch/efi/pkcs7"
)

// Signers returns the certificates that come with an image's signatures, in
// their order. Nothing is checked: see Verify.
func Signers(image []byte) ([]*x509.Certificate, error) {
	m, err := pe.Open(image)
	if err != nil {
		return nil, err
	}
	table, err := m.Certificates()
	if err != nil {
		return nil, err
	}
	var signers []*x509.Certificate
	for _, entry := range table {
		signature, err := pkcs7.ParseContentInfo(entry.Data)
		if err != nil {
			return nil, err
		}
		signers = append(signers, signature.Certificates...)
	}
	return signers, nil
}
