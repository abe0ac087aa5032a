// Package pe reads PE32+ images, as UEFI executes them, adds sections to them,
// and carries their attribute certificates.
//
// It follows the "PE Format" specification (Microsoft, revision 11) and
// "Windows Authenticode Portable Executable Signature Format" (2008) for the
// digest. Left out: PE32 (32 bit), object files, relocations, symbols, imports
// and resources; images whose raw data overlaps are refused.
//
// No number in a file is believed: what Open returns lies within the file.
package pe

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Image is a PE32+ image in memory.
type Image struct {
	raw         []byte
	at          int // offset of header
	header      peHeader
	directories []dataDirectory
	sections    []sectionHeader
}

// Section tells where a section lies in the file and in memory, in bytes.
type Section struct {
	Name           string
	VirtualAddress uint32
	VirtualSize    uint32 // in memory: the length of what was put in
	Offset         uint32 // in the file
	Size           uint32 // in the file, rounded up to FileAlignment
}

// Open reads the headers of an image. It keeps image and never writes to it.
func Open(image []byte) (*Image, error) {
	m := &Image{raw: image[:len(image):len(image)]}
	for _, step := range []func() error{m.readHeader, m.readDirectories, m.readSections, m.checkRawData, m.checkMemory, m.checkCertificateTable} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("read PE image: %w", err)
		}
	}
	return m, nil
}

// Bytes returns the image as a file. The caller must not change it.
func (m *Image) Bytes() []byte { return m.raw }

// EFIApplication reports whether the image is one that a boot loader may start.
func (m *Image) EFIApplication() bool { return m.header.Subsystem == subsystemEFIApplication }

// Sections lists the sections in the order of the section table.
func (m *Image) Sections() []Section {
	list := make([]Section, len(m.sections))
	for i, s := range m.sections {
		list[i] = Section{sectionName(s), s.VirtualAddress, s.VirtualSize, s.PointerToRawData, s.SizeOfRawData}
	}
	return list
}

// Data returns the content of a section as far as the file holds it: memory
// beyond it, up to VirtualSize, is zero. The caller must not change it.
func (m *Image) Data(s Section) []byte {
	if s.Size == 0 { // then Offset means nothing
		return nil
	}
	return m.raw[s.Offset:][:min(s.Size, s.VirtualSize)]
}

func (m *Image) readHeader() error {
	var dos dosHeader
	if !m.decode(0, &dos) || string(dos.Magic[:]) != "MZ" {
		return errors.New("no MZ header")
	}
	m.at = int(dos.PEPointer)
	if m.at < sizeDOSHeader || !m.decode(m.at, &m.header) || string(m.header.Signature[:]) != "PE\x00\x00" {
		return errors.New("no PE header")
	}
	h := &m.header
	switch {
	case h.Magic != magicPE32Plus:
		return fmt.Errorf("optional header magic %#x is not PE32+", h.Magic)
	case !alignment(h.FileAlignment) || !alignment(h.SectionAlignment) || h.SectionAlignment < h.FileAlignment:
		return fmt.Errorf("alignment %d in the file, %d in memory", h.FileAlignment, h.SectionAlignment)
	case h.NumberOfRvaAndSizes > maxDirectories:
		return fmt.Errorf("%d data directories", h.NumberOfRvaAndSizes)
	case int(h.NumberOfRvaAndSizes) <= directoryCertificates:
		return errors.New("no data directory for certificates")
	case m.sectionTable() < m.directory(int(h.NumberOfRvaAndSizes)):
		return errors.New("data directories do not fit in the optional header")
	case h.NumberOfSections > maxSections:
		return fmt.Errorf("%d sections", h.NumberOfSections)
	case int64(h.SizeOfHeaders) > int64(len(m.raw)):
		return errors.New("file ends within its headers")
	case m.sectionTable()+int(h.NumberOfSections)*sizeSectionHeader > int(h.SizeOfHeaders):
		return errors.New("section table does not fit in the headers")
	}
	return nil
}

func (m *Image) readDirectories() error {
	m.directories = make([]dataDirectory, m.header.NumberOfRvaAndSizes)
	m.decode(m.directory(0), m.directories)
	return nil
}

func (m *Image) readSections() error {
	m.sections = make([]sectionHeader, m.header.NumberOfSections)
	m.decode(m.sectionTable(), m.sections)
	for _, s := range m.sections {
		if uint64(s.VirtualAddress)+uint64(s.VirtualSize) > uint64(m.header.SizeOfImage) {
			return fmt.Errorf("section %s ends beyond SizeOfImage", sectionName(s))
		}
		if s.SizeOfRawData == 0 {
			continue
		}
		if s.PointerToRawData < m.header.SizeOfHeaders {
			return fmt.Errorf("section %s lies within the headers", sectionName(s))
		}
		if rawEnd(s) > uint64(len(m.raw)) {
			return fmt.Errorf("section %s ends beyond the file", sectionName(s))
		}
	}
	return nil
}

// checkRawData refuses sections that share bytes of the file.
func (m *Image) checkRawData() error {
	stored := m.stored()
	for i := 1; i < len(stored); i++ {
		if rawEnd(stored[i-1]) > uint64(stored[i].PointerToRawData) {
			return fmt.Errorf("sections %s and %s overlap in the file", sectionName(stored[i-1]), sectionName(stored[i]))
		}
	}
	return nil
}

// checkMemory refuses sections that share memory (UAPI.5 asks for it by name).
func (m *Image) checkMemory() error {
	sorted := slices.SortedFunc(slices.Values(m.sections), func(a, b sectionHeader) int {
		return cmp.Or(cmp.Compare(a.VirtualAddress, b.VirtualAddress), cmp.Compare(a.VirtualSize, b.VirtualSize))
	})
	for i := 1; i < len(sorted); i++ {
		if virtualEnd(sorted[i-1]) > uint64(sorted[i].VirtualAddress) {
			return fmt.Errorf("sections %s and %s overlap in memory", sectionName(sorted[i-1]), sectionName(sorted[i]))
		}
	}
	return nil
}

// stored returns the sections that have bytes in the file, in the file's order.
func (m *Image) stored() []sectionHeader {
	list := slices.DeleteFunc(slices.Clone(m.sections), func(s sectionHeader) bool { return s.SizeOfRawData == 0 })
	slices.SortFunc(list, func(a, b sectionHeader) int { return cmp.Compare(a.PointerToRawData, b.PointerToRawData) })
	return list
}

// sectionsEnd is where the last section ends in the file.
func (m *Image) sectionsEnd() int {
	end := uint64(m.header.SizeOfHeaders)
	for _, s := range m.sections {
		if s.SizeOfRawData > 0 {
			end = max(end, rawEnd(s))
		}
	}
	return int(end)
}

// directory is the offset of data directory i in the file.
func (m *Image) directory(i int) int { return m.at + sizePEHeader + i*sizeDirectory }

// sectionTable is the offset of the section table in the file.
func (m *Image) sectionTable() int {
	return m.at + offsetOptional + int(m.header.SizeOfOptionalHeader)
}

// decode fills record from the bytes at offset, and reports whether they are there.
func (m *Image) decode(offset int, record any) bool {
	if offset > len(m.raw) {
		return false
	}
	_, err := binary.Decode(m.raw[offset:], binary.LittleEndian, record)
	return err == nil
}

// encode writes record to the bytes at offset, which must be there.
func (m *Image) encode(offset int, record any) {
	if _, err := binary.Encode(m.raw[offset:], binary.LittleEndian, record); err != nil {
		panic("pe: encode: " + err.Error()) // all offsets were checked by Open
	}
}

func sectionName(s sectionHeader) string {
	name, _, _ := bytes.Cut(s.Name[:], []byte{0})
	return string(name)
}

func rawEnd(s sectionHeader) uint64     { return uint64(s.PointerToRawData) + uint64(s.SizeOfRawData) }
func virtualEnd(s sectionHeader) uint64 { return uint64(s.VirtualAddress) + uint64(s.VirtualSize) }

// alignment reports whether n is a power of two that PE allows.
func alignment(n uint32) bool { return n > 0 && n <= maxAlignment && n&(n-1) == 0 }

// align rounds n up to a multiple of to, a power of two.
func align(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }
