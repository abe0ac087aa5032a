// Package authenticode signs PE images and checks their signatures, as UEFI
// Secure Boot wants them (UEFI 2.10, 32.2; "Windows Authenticode Portable
// Executable Signature Format", 2008): SHA-256 and RSA, no time stamp.
//
// A signature says nothing about three places of the file: the checksum, the
// directory entry of the certificate table, and the table itself. Firmware does
// not look at them, and so neither does Verify; Canonical does.
package authenticode

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/ketch-os/ketch/efi/pe"
	"github.com/ketch-os/ketch/efi/pkcs7"
)

var (
	// ErrUnsigned tells of an image that has no signature at all.
	ErrUnsigned = errors.New("image is not signed")
	// ErrDigest tells of a signature for other content.
	ErrDigest = errors.New("image was changed after it was signed")
	// ErrNotCanonical tells of an image that differs from what Sign writes in a
	// place that its signature does not cover.
	ErrNotCanonical = errors.New("checksum or certificate table was changed after the image was signed")
)

// Sign adds a signature to image and returns the result; image is left alone. The
// key may live elsewhere, in an HSM say: it must be RSA and the certificate's.
// The same input always gives the same bytes.
func Sign(image []byte, key crypto.Signer, certificate *x509.Certificate) ([]byte, error) {
	signed, err := sign(image, key, certificate)
	if err != nil {
		return nil, fmt.Errorf("sign image: %w", err)
	}
	return signed, nil
}

func sign(file []byte, key crypto.Signer, certificate *x509.Certificate) ([]byte, error) {
	return add(file, certificate, func(s *pkcs7.SignedData) error { return s.Sign(nil, key) })
}

// Message is what a signature of image is made over, with SHA-256 and RSA
// PKCS #1 v1.5, for a key that lives elsewhere: Attach puts the two together. It
// does not depend on who signs.
func Message(image []byte) ([]byte, error) {
	content, err := indirectData(image)
	if err != nil {
		return nil, fmt.Errorf("what to sign of image: %w", err)
	}
	return pkcs7.Message(oidIndirectData(), content)
}

// Attach adds a signature over Message(image), made by the certificate's key,
// and returns the same bytes as Sign. Any other signature is an error.
func Attach(image, signature []byte, certificate *x509.Certificate) ([]byte, error) {
	signed, err := add(image, certificate, func(s *pkcs7.SignedData) error { return s.Attach(nil, signature) })
	if err != nil {
		return nil, fmt.Errorf("attach signature: %w", err)
	}
	return signed, nil
}

// add adds a signature that complete makes.
func add(file []byte, certificate *x509.Certificate, complete func(*pkcs7.SignedData) error) ([]byte, error) {
	content, err := indirectData(file)
	if err != nil {
		return nil, err
	}
	signature, err := pkcs7.New(oidIndirectData(), content, certificate)
	if err != nil {
		return nil, err
	}
	if err := complete(signature); err != nil {
		return nil, err
	}
	entry, err := encodeEntry(signature)
	if err != nil {
		return nil, err
	}
	image, err := pe.Open(file)
	if err != nil {
		return nil, err
	}
	table, err := image.Certificates()
	if err != nil {
		return nil, err
	}
	if err := image.SetCertificates(append(table, entry)...); err != nil {
		return nil, err
	}
	return image.Bytes(), nil
}

// indirectData is the content that a signature of a PE image speaks about.
func indirectData(file []byte) ([]byte, error) {
	image, err := pe.Open(file)
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	return encodeIndirectData(digest), nil
}

// Verify checks that at least one signature of the image is good and made by one
// of the certificates, or by one that they issued. The error says for each
// signature what is wrong with it.
func Verify(image []byte, certificates ...*x509.Certificate) error {
	if err := verify(image, certificates); err != nil {
		return fmt.Errorf("verify signature: %w", err)
	}
	return nil
}

func verify(file []byte, trusted []*x509.Certificate) error {
	image, err := pe.Open(file)
	if err != nil {
		return err
	}
	table, err := image.Certificates()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	var bad signatureErrors
	for _, entry := range table {
		err := verifyEntry(entry, digest, trusted)
		if err == nil {
			return nil
		}
		bad = append(bad, err)
	}
	if len(bad) == 0 {
		return ErrUnsigned
	}
	return bad
}

// signatureErrors holds one error for each signature, all on one line.
type signatureErrors []error

func (e signatureErrors) Unwrap() []error { return e }

func (e signatureErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	var lines []string
	for i, err := range e {
		lines = append(lines, fmt.Sprintf("signature %d: %v", i+1, err))
	}
	return strings.Join(lines, "; ")
}

func verifyEntry(entry pe.Certificate, digest [sha256.Size]byte, trusted []*x509.Certificate) error {
	signature, err := decodeEntry(entry)
	if err != nil {
		return err
	}
	signed, err := decodeIndirectData(signature.Content)
	if err != nil {
		return err
	}
	if signed != digest {
		return fmt.Errorf("%w: its digest is %x, the signature's %x", ErrDigest, digest, signed)
	}
	return signature.Verify(nil, trusted...)
}

// Canonical checks the places that no signature covers: that the image is, byte
// for byte, what Sign made of its content and signatures. Together with Verify it
// notices every changed byte. Signatures by other tools are not canonical.
func Canonical(image []byte) error {
	if err := canonical(image); err != nil {
		return fmt.Errorf("verify signed image: %w", err)
	}
	return nil
}

func canonical(file []byte) error {
	image, err := pe.Open(file)
	if err != nil {
		return err
	}
	table, err := image.Certificates()
	if err != nil {
		return err
	}
	if len(table) == 0 {
		return ErrUnsigned
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	for i := range table {
		if table[i], err = rebuild(table[i], digest); err != nil {
			return err
		}
	}
	if err := image.SetCertificates(table...); err != nil {
		return err
	}
	if !bytes.Equal(image.Bytes(), file) {
		return ErrNotCanonical
	}
	return nil
}

// rebuild makes the entry that Sign would have made, around the same signature value.
func rebuild(entry pe.Certificate, digest [sha256.Size]byte) (pe.Certificate, error) {
	found, err := decodeEntry(entry)
	if err != nil {
		return entry, err
	}
	if len(found.Certificates) != 1 {
		return entry, fmt.Errorf("%w: signature with %d certificates", ErrNotCanonical, len(found.Certificates))
	}
	signature, err := pkcs7.New(oidIndirectData(), encodeIndirectData(digest), found.Certificates[0])
	if err != nil {
		return entry, err
	}
	signature.SignLike(found)
	return encodeEntry(signature)
}

func encodeEntry(signature *pkcs7.SignedData) (pe.Certificate, error) {
	data, err := signature.MarshalContentInfo()
	return pe.Certificate{Revision: pe.CertificateRevision2, Type: pe.CertificateSignedData, Data: data}, err
}

func decodeEntry(entry pe.Certificate) (*pkcs7.SignedData, error) {
	if entry.Revision != pe.CertificateRevision2 || entry.Type != pe.CertificateSignedData {
		return nil, fmt.Errorf("certificate of revision %#x and type %#x is no PKCS #7 signature", entry.Revision, entry.Type)
	}
	signature, err := pkcs7.ParseContentInfo(entry.Data)
	if err != nil {
		return nil, err
	}
	if !signature.Type.Equal(oidIndirectData()) {
		return nil, fmt.Errorf("signature is for content of type %v, not for a PE image", signature.Type)
	}
	return signature, nil
}
