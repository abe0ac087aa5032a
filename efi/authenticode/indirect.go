package authenticode

import (
	"crypto/sha256"
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers of the Authenticode specification.
func oidIndirectData() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
}
func oidPEImageData() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
}
func oidSHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} }

// obsolete is what SpcPeImageData.file must say, as a BMPString.
const obsolete = "<<<Obsolete>>>"

// encodeIndirectData encodes SpcIndirectDataContent: that this is a PE image, and
// its digest.
func encodeIndirectData(digest [sha256.Size]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { // SpcAttributeTypeAndOptionalValue
			b.AddASN1ObjectIdentifier(oidPEImageData())
			b.AddASN1(der.SEQUENCE, addPEImageData)
		})
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { // DigestInfo
			addSHA256(b)
			b.AddASN1OctetString(digest[:])
		})
	})
	return b.BytesOrPanic()
}

// addPEImageData adds the inside of SpcPeImageData: no flags, and
// file [0] { SpcLink file [2] { SpcString unicode [0] }}.
func addPEImageData(b *cryptobyte.Builder) {
	b.AddASN1BitString(nil)
	b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(der.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(der.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) {
				for _, c := range []byte(obsolete) {
					b.AddUint16(uint16(c))
				}
			})
		})
	})
}

// decodeIndirectData returns the digest. Like firmware, it does not look at what
// stands beside it: pesign gives even SpcPeImageData's type another identifier.
func decodeIndirectData(b []byte) (digest [sha256.Size]byte, err error) {
	input := cryptobyte.String(b)
	var body, kind, info, algorithm, null, value cryptobyte.String
	var oid, digestOID asn1.ObjectIdentifier
	if !input.ReadASN1(&body, der.SEQUENCE) || !input.Empty() ||
		!body.ReadASN1(&kind, der.SEQUENCE) || !kind.ReadASN1ObjectIdentifier(&oid) ||
		!body.ReadASN1(&info, der.SEQUENCE) || !body.Empty() ||
		!info.ReadASN1(&algorithm, der.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&digestOID) ||
		!digestOID.Equal(oidSHA256()) ||
		!algorithm.ReadOptionalASN1(&null, nil, der.NULL) || !null.Empty() || !algorithm.Empty() ||
		!info.ReadASN1(&value, der.OCTET_STRING) || !info.Empty() || len(value) != len(digest) {
		return digest, errors.New("signed content is not the SHA-256 digest of a PE image")
	}
	return [sha256.Size]byte(value), nil
}

func addSHA256(b *cryptobyte.Builder) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSHA256())
		b.AddASN1NULL()
	})
}
