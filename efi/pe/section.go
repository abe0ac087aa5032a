package pe

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// AddSection puts data into a new section, behind all others in the file and in
// memory: the same content always gives the same image. The image must not be
// signed yet. A COFF symbol table behind the sections, of use to no one in an
// image, makes room.
func (m *Image) AddSection(name string, data []byte) error {
	if err := m.addSection(name, data); err != nil {
		return fmt.Errorf("add section %s: %w", name, err)
	}
	return nil
}

func (m *Image) addSection(name string, data []byte) error {
	if err := m.checkAddition(name, data); err != nil {
		return err
	}
	section, err := m.place(name, data)
	if err != nil {
		return err
	}
	end := m.sectionsEnd()
	m.raw = append(m.raw[:end:end], make([]byte, rawEnd(section)-uint64(end))...)
	copy(m.raw[section.PointerToRawData:], data)
	m.sections = append(m.sections, section)

	h := &m.header
	h.NumberOfSections++
	h.PointerToSymbolTable, h.NumberOfSymbols = 0, 0
	h.SizeOfInitializedData += section.SizeOfRawData
	h.SizeOfImage = uint32(align(virtualEnd(section), uint64(h.SectionAlignment)))
	m.seal()
	return nil
}

func (m *Image) checkAddition(name string, data []byte) error {
	switch {
	case name == "" || len(name) > len(sectionHeader{}.Name):
		return errors.New("name is not 1 to 8 bytes long")
	case len(data) == 0:
		return errors.New("no content")
	case slices.ContainsFunc(m.sections, func(s sectionHeader) bool { return sectionName(s) == name }):
		return errors.New("image has one of that name")
	case m.Signed():
		return errors.New("image is already signed")
	}
	if err := m.checkTail(); err != nil {
		return err
	}
	return m.checkTableRoom()
}

// checkTail finds out whether what follows the last section may be dropped:
// nothing, or the COFF symbol and string tables.
func (m *Image) checkTail() error {
	end := m.sectionsEnd()
	if end == len(m.raw) {
		return nil
	}
	if int64(m.header.PointerToSymbolTable) != int64(end) {
		return errors.New("unknown data follows the last section")
	}
	for _, s := range m.sections {
		if s.Name[0] == '/' {
			return fmt.Errorf("section %s has its name in the string table", sectionName(s))
		}
	}
	return nil
}

// checkTableRoom finds out whether the section table can take one more entry
// without moving any section.
func (m *Image) checkTableRoom() error {
	next := m.sectionTable() + len(m.sections)*sizeSectionHeader
	if len(m.sections) == maxSections || next+sizeSectionHeader > int(m.header.SizeOfHeaders) {
		return fmt.Errorf("section table is full (%d sections)", len(m.sections))
	}
	if !zero(m.raw[next:][:sizeSectionHeader]) {
		return errors.New("section table is followed by unknown data")
	}
	return nil
}

// place decides where a new section goes.
func (m *Image) place(name string, data []byte) (sectionHeader, error) {
	address := uint64(m.header.SizeOfHeaders)
	for _, s := range m.sections {
		address = max(address, virtualEnd(s))
	}
	address = align(address, uint64(m.header.SectionAlignment))
	offset := align(uint64(m.sectionsEnd()), uint64(m.header.FileAlignment))
	size := align(uint64(len(data)), uint64(m.header.FileAlignment))
	if max(address, offset)+size+maxAlignment > math.MaxUint32 {
		return sectionHeader{}, errors.New("image would pass 4 GiB")
	}
	s := sectionHeader{
		VirtualSize: uint32(len(data)), VirtualAddress: uint32(address),
		SizeOfRawData: uint32(size), PointerToRawData: uint32(offset),
		Characteristics: initializedData | readable,
	}
	copy(s.Name[:], name)
	return s, nil
}

// seal writes the headers back and brings the checksum up to date. The raw
// bytes must be the image's own by now.
func (m *Image) seal() {
	m.encode(m.at, &m.header)
	m.encode(m.directory(0), m.directories)
	m.encode(m.sectionTable(), m.sections)
	m.header.CheckSum = m.Checksum()
	m.encode(m.at, &m.header)
}

func zero(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 })
}
