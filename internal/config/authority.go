package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// CheckPEM checks that data are certificates of authorities, and nothing else: a
// private key that came along would be readable by everybody.
func CheckPEM(data []byte) error {
	count := 0
	for rest := data; len(bytes.TrimSpace(rest)) > 0; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if count == 0 {
				return errors.New("is no certificate in PEM")
			}
			return errors.New("holds more than certificates in PEM")
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a %q; want certificates only", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return fmt.Errorf("certificate %d: %w", count+1, err)
		case certificate.BasicConstraintsValid && !certificate.IsCA:
			return fmt.Errorf("certificate %d, of %q, is no authority's", count+1, certificate.Subject)
		}
	}
	if count == 0 {
		return errors.New("is empty; want a certificate in PEM")
	}
	return nil
}
