package pkcs7

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers (RFC 8017, RFC 5652, NIST).
func oidSignedData() asn1.ObjectIdentifier  { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2} }
func oidContentType() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3} }
func oidMessageDigest() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
}
func oidRSA() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1} }
func oidSHA256WithRSA() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
}
func oidSHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} }

func context(n uint8) der.Tag { return der.Tag(n).ContextSpecific().Constructed() }

// Marshal encodes SignedData itself (RFC 2315, 9.1; RFC 5652, 5.1), as
// authenticated variables carry it.
func (s *SignedData) Marshal() ([]byte, error) { return build(s.marshal) }

// MarshalContentInfo encodes SignedData wrapped in ContentInfo, as Authenticode
// carries it.
func (s *SignedData) MarshalContentInfo() ([]byte, error) {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSignedData())
			b.AddASN1(context(0), s.marshal)
		})
	})
}

func (s *SignedData) marshal(b *cryptobyte.Builder) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(der.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, oidSHA256()) })
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { // contentInfo
			b.AddASN1ObjectIdentifier(s.Type)
			if s.Content != nil {
				b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddBytes(s.Content) })
			}
		})
		b.AddASN1(context(0), func(b *cryptobyte.Builder) {
			for _, c := range s.Certificates {
				b.AddBytes(c.Raw)
			}
		})
		b.AddASN1(der.SET, func(b *cryptobyte.Builder) { b.AddASN1(der.SEQUENCE, s.marshalSigner) })
	})
}

// marshalSigner encodes the inside of SignerInfo (RFC 5652, 5.3).
func (s *SignedData) marshalSigner(b *cryptobyte.Builder) {
	b.AddASN1Int64(1)
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(s.issuer)
		b.AddASN1BigInt(s.serial)
	})
	addAlgorithm(b, oidSHA256())
	if s.attributes != nil {
		b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddBytes(s.attributes) })
	}
	addAlgorithm(b, oidRSA())
	b.AddASN1OctetString(s.signature)
}

// Parse reads what Marshal writes.
func Parse(b []byte) (*SignedData, error) {
	s, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("parse signature: %w", err)
	}
	return s, nil
}

// maxPadding is how many zeros may follow a ContentInfo in a PE image.
const maxPadding = 7

// ParseContentInfo reads what MarshalContentInfo writes, and the zeros behind it
// that pad an attribute certificate to eight bytes (UEFI 2.10, 32.2.4).
func ParseContentInfo(b []byte) (*SignedData, error) {
	input := cryptobyte.String(b)
	var info, content cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !input.ReadASN1(&info, der.SEQUENCE) || len(input) > maxPadding || len(bytes.Trim(input, "\x00")) > 0 ||
		!info.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidSignedData()) ||
		!info.ReadASN1(&content, context(0)) || !info.Empty() {
		return nil, errors.New("parse signature: not a PKCS #7 ContentInfo with SignedData")
	}
	return Parse(content)
}

func parse(b []byte) (*SignedData, error) {
	input := cryptobyte.String(b)
	var body, digests, content, certificates, signers, signer cryptobyte.String
	var hasCertificates bool
	var version int
	switch {
	case !input.ReadASN1(&body, der.SEQUENCE) || !input.Empty():
		return nil, errors.New("not one DER sequence")
	case !body.ReadASN1Integer(&version) || version != 1:
		return nil, errors.New("version is not 1")
	case !body.ReadASN1(&digests, der.SET) || !readAlgorithm(&digests, oidSHA256()) || !digests.Empty():
		return nil, errors.New("digest algorithm is not SHA-256")
	case !body.ReadASN1(&content, der.SEQUENCE):
		return nil, errors.New("no content")
	case !body.ReadOptionalASN1(&certificates, &hasCertificates, context(0)) || !hasCertificates:
		return nil, errors.New("no certificates")
	case !body.ReadASN1(&signers, der.SET) || !body.Empty() ||
		!signers.ReadASN1(&signer, der.SEQUENCE) || !signers.Empty():
		return nil, errors.New("not one signer")
	}
	s := &SignedData{}
	if !s.readContent(content) {
		return nil, errors.New("malformed content")
	}
	if !s.readSigner(signer) {
		return nil, errors.New("malformed signer, or not one of SHA-256 and RSA")
	}
	var err error
	s.Certificates, err = x509.ParseCertificates(certificates)
	return s, err
}

func (s *SignedData) readContent(b cryptobyte.String) bool {
	var content, element cryptobyte.String
	var attached bool
	if !b.ReadASN1ObjectIdentifier(&s.Type) || !b.ReadOptionalASN1(&content, &attached, context(0)) || !b.Empty() {
		return false
	}
	if !attached {
		return true
	}
	var tag der.Tag
	if !content.ReadAnyASN1Element(&element, &tag) || !content.Empty() {
		return false
	}
	s.Content = element
	return true
}

func (s *SignedData) readSigner(b cryptobyte.String) bool {
	var name, issuer, attributes, signature cryptobyte.String
	var hasAttributes bool
	var version int
	s.serial = new(big.Int)
	if !b.ReadASN1Integer(&version) || version != 1 ||
		!b.ReadASN1(&name, der.SEQUENCE) || !name.ReadASN1Element(&issuer, der.SEQUENCE) ||
		!name.ReadASN1Integer(s.serial) || !name.Empty() ||
		!readAlgorithm(&b, oidSHA256()) ||
		!b.ReadOptionalASN1(&attributes, &hasAttributes, context(0)) ||
		!readAlgorithm(&b, oidRSA(), oidSHA256WithRSA()) ||
		!b.ReadASN1(&signature, der.OCTET_STRING) ||
		!b.SkipOptionalASN1(context(1)) || !b.Empty() {
		return false
	}
	s.issuer, s.signature = issuer, signature
	if hasAttributes {
		s.attributes = append([]byte{}, attributes...) // not nil, even when empty
	}
	return true
}

// encodeAttributes encodes the two signed attributes, in the order that DER
// wants for a SET: by their bytes, here by their length.
func encodeAttributes(contentType asn1.ObjectIdentifier, digest [sha256.Size]byte) []byte {
	var b cryptobyte.Builder
	addAttribute(&b, oidContentType(), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(contentType) })
	addAttribute(&b, oidMessageDigest(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(digest[:]) })
	return b.BytesOrPanic()
}

// decodeAttributes finds the two attributes among others.
func decodeAttributes(b cryptobyte.String) (contentType asn1.ObjectIdentifier, digest [sha256.Size]byte, err error) {
	var digestBytes cryptobyte.String
	for !b.Empty() {
		var attribute, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !b.ReadASN1(&attribute, der.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) ||
			!attribute.ReadASN1(&values, der.SET) || !attribute.Empty() {
			return nil, digest, errors.New("malformed")
		}
		switch {
		case oid.Equal(oidContentType()):
			if contentType != nil || !values.ReadASN1ObjectIdentifier(&contentType) || !values.Empty() {
				return nil, digest, errors.New("malformed content type")
			}
		case oid.Equal(oidMessageDigest()):
			if digestBytes != nil || !values.ReadASN1(&digestBytes, der.OCTET_STRING) || !values.Empty() {
				return nil, digest, errors.New("malformed message digest")
			}
		}
	}
	if contentType == nil || len(digestBytes) != len(digest) {
		return nil, digest, errors.New("no content type, or no SHA-256 message digest")
	}
	return contentType, [sha256.Size]byte(digestBytes), nil
}

func addAttribute(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, value cryptobyte.BuilderContinuation) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(der.SET, value)
	})
}

// encodeSet gives the signed attributes the tag under which they are signed
// (RFC 5652, 5.4): SET OF, not the [0] under which they are stored.
func encodeSet(attributes []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SET, func(b *cryptobyte.Builder) { b.AddBytes(attributes) })
	return b.BytesOrPanic()
}

// addAlgorithm adds an AlgorithmIdentifier with NULL parameters.
func addAlgorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1NULL()
	})
}

// readAlgorithm reads an AlgorithmIdentifier that must be one of oids, with NULL
// or absent parameters.
func readAlgorithm(b *cryptobyte.String, oids ...asn1.ObjectIdentifier) bool {
	var algorithm, null cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !b.ReadASN1(&algorithm, der.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!algorithm.ReadOptionalASN1(&null, nil, der.NULL) || !null.Empty() || !algorithm.Empty() {
		return false
	}
	for _, want := range oids {
		if oid.Equal(want) {
			return true
		}
	}
	return false
}

// contents returns what is inside the one DER element that b must be: the bytes
// that a message digest is taken of.
func contents(b []byte) ([]byte, error) {
	input := cryptobyte.String(b)
	var element cryptobyte.String
	var tag der.Tag
	if !input.ReadAnyASN1(&element, &tag) || !input.Empty() {
		return nil, errors.New("not one DER element")
	}
	return element, nil
}

func build(part cryptobyte.BuilderContinuation) ([]byte, error) {
	var b cryptobyte.Builder
	part(&b)
	return b.Bytes()
}
