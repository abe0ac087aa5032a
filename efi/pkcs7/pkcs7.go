// Package pkcs7 makes and reads the one kind of signature that UEFI knows:
// PKCS #7 SignedData (RFC 2315, RFC 5652) with one signer, SHA-256 and RSA
// PKCS #1 v1.5.
//
// Signed attributes are used as RFC 5652, 5.3 asks: not for plain data, always for
// content of any other type. There are only the two that must be there, so that
// the same key and content always give the same bytes. Left out: revocation
// lists, several signers in one structure, other algorithms, countersignatures
// (passed over when reading).
package pkcs7

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// SignedData is a signature and what it speaks about.
type SignedData struct {
	Type         asn1.ObjectIdentifier
	Content      []byte              // a DER element of that type; nil when detached
	Certificates []*x509.Certificate // the signer's and what may link it to a trusted one

	issuer     []byte // of the signer's certificate, a DER Name
	serial     *big.Int
	attributes []byte // the signed attributes: what is inside their SET; nil if there are none
	signature  []byte
}

// TypeData is the type of content that is just bytes.
func TypeData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1} }

// New lays out a signature that is still to be made. With content nil the
// signature is detached and of TypeData.
func New(contentType asn1.ObjectIdentifier, content []byte, signer *x509.Certificate) (*SignedData, error) {
	s := &SignedData{
		Type: contentType, Content: content, Certificates: []*x509.Certificate{signer},
		issuer: signer.RawIssuer, serial: signer.SerialNumber,
	}
	if contentType.Equal(TypeData()) {
		return s, nil
	}
	message, err := contents(content)
	if err != nil {
		return nil, fmt.Errorf("lay out signature: content: %w", err)
	}
	s.attributes = encodeAttributes(contentType, sha256.Sum256(message))
	return s, nil
}

// Sign makes the signature. The message is the detached content, and unused for
// attached content.
func (s *SignedData) Sign(message []byte, key crypto.Signer) error {
	if err := matches(key, s.Certificates[0]); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	digest := s.signedDigest(message)
	// RSA PKCS #1 v1.5 uses no randomness.
	signature, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if err := s.Attach(message, signature); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return nil
}

// Message is what a signature of attached content is made over, with SHA-256
// and RSA PKCS #1 v1.5: the signed attributes as a DER SET (RFC 5652, 5.4). It
// does not depend on who signs.
func Message(contentType asn1.ObjectIdentifier, content []byte) ([]byte, error) {
	message, err := contents(content)
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	return encodeSet(encodeAttributes(contentType, sha256.Sum256(message))), nil
}

// Attach takes a signature that was made elsewhere, and refuses one that is not
// of the certificate's key or not of this message (see Sign and Message).
func (s *SignedData) Attach(message, signature []byte) error {
	key, ok := s.Certificates[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("certificate %s: its key is not RSA", Name(s.Certificates[0]))
	}
	digest := s.signedDigest(message)
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
		return fmt.Errorf("bad signature: %d bytes that are not SHA-256 and RSA PKCS #1 v1.5 by the key of certificate %s: %w",
			len(signature), Name(s.Certificates[0]), err)
	}
	s.signature = signature
	return nil
}

// SignLike takes over the signature of another SignedData: for rebuilding what
// Sign must have made.
func (s *SignedData) SignLike(other *SignedData) { s.signature = other.signature }

// Verify checks that the signature is good for the message, or for the attached
// content, and that trusted contains the signer's certificate or one that it
// leads to. Like firmware, it does not look at the time.
func (s *SignedData) Verify(message []byte, trusted ...*x509.Certificate) error {
	signer, err := s.signer()
	if err != nil {
		return err
	}
	if err := s.checkAttributes(); err != nil {
		return err
	}
	key, ok := signer.PublicKey.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("certificate %s: its key is not RSA", Name(signer))
	}
	digest := s.signedDigest(message)
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.signature); err != nil {
		return fmt.Errorf("signature was not made by %s: %w", Name(signer), err)
	}
	if !s.leadsTo(signer, trusted, len(s.Certificates)) {
		return &UnknownSignerError{signer}
	}
	return nil
}

// UnknownSignerError tells of a signature that is good, but not of anyone trusted.
type UnknownSignerError struct{ Signer *x509.Certificate }

func (e *UnknownSignerError) Error() string {
	return "signed by unknown certificate " + Name(e.Signer)
}

// Name is how an error names a certificate.
func Name(c *x509.Certificate) string {
	return fmt.Sprintf("%q (SHA-256 %.8x…)", c.Subject.String(), sha256.Sum256(c.Raw))
}

// signer finds the certificate that the signature names.
func (s *SignedData) signer() (*x509.Certificate, error) {
	for _, c := range s.Certificates {
		if bytes.Equal(c.RawIssuer, s.issuer) && c.SerialNumber.Cmp(s.serial) == 0 {
			return c, nil
		}
	}
	return nil, errors.New("signature does not carry its signer's certificate")
}

// leadsTo reports whether trusted contains c, or c was issued by a certificate
// that leads to trusted in at most depth steps.
func (s *SignedData) leadsTo(c *x509.Certificate, trusted []*x509.Certificate, depth int) bool {
	for _, t := range trusted {
		if c.Equal(t) || c.CheckSignatureFrom(t) == nil {
			return true
		}
	}
	for _, parent := range s.Certificates {
		if depth > 0 && !parent.Equal(c) && c.CheckSignatureFrom(parent) == nil {
			return s.leadsTo(parent, trusted, depth-1)
		}
	}
	return false
}

// signedDigest is the digest that the signature is made over.
func (s *SignedData) signedDigest(message []byte) [sha256.Size]byte {
	if s.attributes != nil {
		return sha256.Sum256(encodeSet(s.attributes))
	}
	return sha256.Sum256(message)
}

// checkAttributes makes sure that the signed attributes speak of the content.
func (s *SignedData) checkAttributes() error {
	if s.Type.Equal(TypeData()) {
		if s.attributes != nil || s.Content != nil {
			return errors.New("plain data must be detached and signed without attributes")
		}
		return nil
	}
	message, err := contents(s.Content)
	if err != nil {
		return fmt.Errorf("signed content: %w", err)
	}
	contentType, digest, err := decodeAttributes(s.attributes)
	if err != nil {
		return fmt.Errorf("signed attributes: %w", err)
	}
	if !contentType.Equal(s.Type) {
		return fmt.Errorf("signed attributes are for content type %v, not %v", contentType, s.Type)
	}
	if sha256.Sum256(message) != digest {
		return errors.New("signed attributes are for other content")
	}
	return nil
}

// matches refuses a key that is not the certificate's.
func matches(key crypto.Signer, c *x509.Certificate) error {
	public, ok := key.Public().(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("key of type %T is not RSA", key.Public())
	}
	if !public.Equal(c.PublicKey) {
		return fmt.Errorf("key is not the one of certificate %s", Name(c))
	}
	return nil
}
