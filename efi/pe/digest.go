package pe

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Checksum computes what the CheckSum field of the image should hold: ImageHlp's
// sum, which is the ones' complement sum of all 16-bit words of the file, the
// field itself taken as zero, plus the length of the file. Changing any single
// byte changes it.
func (m *Image) Checksum() uint32 {
	field := m.at + offsetCheckSum
	sum := words(m.raw[:field], 0) + words(m.raw[field+4:], field)
	return uint32(fold(sum)) + uint32(len(m.raw))
}

// words adds up b as 32-bit little-endian words of a file in which b starts at
// offset. Modulo 0xffff that is the same as adding 16-bit words, in half the time.
func words(b []byte, offset int) uint64 {
	var sum uint64
	odd := offset&1 == 1
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.LittleEndian.Uint32(b))
	}
	var rest [4]byte
	copy(rest[:], b)
	sum += uint64(binary.LittleEndian.Uint32(rest[:]))
	if odd { // every byte counts for the other half of its word
		return fold(sum) << 8
	}
	return sum
}

// fold adds carries back in until 16 bits are left.
func fold(sum uint64) uint64 {
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

// Digest is the Authenticode SHA-256 digest: of the whole file but the checksum,
// the certificate table's directory entry, and the certificate table itself,
// padded with zeros to where a certificate table would start.
//
// The specification hashes the headers, then the sections in the file's order,
// then what follows. Where sections leave a hole that differs from the whole
// file, and firmware differ among themselves; such an image is refused.
func (m *Image) Digest() ([sha256.Size]byte, error) {
	if err := m.checkHoles(); err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("digest PE image: %w", err)
	}
	checksum := m.at + offsetCheckSum
	directory := m.directory(directoryCertificates)
	end := m.contentEnd()

	h := sha256.New()
	h.Write(m.raw[:checksum])
	h.Write(m.raw[checksum+4 : directory])
	h.Write(m.raw[directory+sizeDirectory : end])
	h.Write(make([]byte, padding(end)))
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// checkHoles refuses bytes between the headers and the last section that belong
// to no section.
func (m *Image) checkHoles() error {
	end := uint64(m.header.SizeOfHeaders)
	for _, s := range m.stored() {
		if uint64(s.PointerToRawData) != end {
			return fmt.Errorf("hole before section %s in the file", sectionName(s))
		}
		end = rawEnd(s)
	}
	return nil
}

// padding is how many bytes are missing from n to the certificate alignment.
func padding(n int) int { return -n & (certificateAlignment - 1) }
