package pe

// The records below are those of the "PE Format" specification (Microsoft,
// revision 11), little-endian, in the order in which a file holds them.

// dosHeader is the MS-DOS header; of it only the magic and the last field matter.
type dosHeader struct {
	Magic     [2]byte  // 0: "MZ"
	_         [58]byte // 2
	PEPointer uint32   // 60: offset of peHeader in the file
}

// peHeader is the signature, the COFF header and the PE32+ optional header up
// to its data directories.
type peHeader struct {
	Signature [4]byte // 0: "PE\0\0"

	// COFF file header
	Machine              uint16 // 4
	NumberOfSections     uint16 // 6
	TimeDateStamp        uint32 // 8
	PointerToSymbolTable uint32 // 12: deprecated, 0 in an image
	NumberOfSymbols      uint32 // 16
	SizeOfOptionalHeader uint16 // 20
	Characteristics      uint16 // 22

	// Optional header, offsets from here on counted from the PE signature
	Magic                   uint16 // 24: 0x20b is PE32+
	MajorLinkerVersion      uint8  // 26
	MinorLinkerVersion      uint8  // 27
	SizeOfCode              uint32 // 28
	SizeOfInitializedData   uint32 // 32
	SizeOfUninitializedData uint32 // 36
	AddressOfEntryPoint     uint32 // 40
	BaseOfCode              uint32 // 44
	ImageBase               uint64 // 48
	SectionAlignment        uint32 // 56
	FileAlignment           uint32 // 60
	MajorOSVersion          uint16 // 64
	MinorOSVersion          uint16 // 66
	MajorImageVersion       uint16 // 68
	MinorImageVersion       uint16 // 70
	MajorSubsystemVersion   uint16 // 72
	MinorSubsystemVersion   uint16 // 74
	Win32VersionValue       uint32 // 76
	SizeOfImage             uint32 // 80
	SizeOfHeaders           uint32 // 84
	CheckSum                uint32 // 88: offsetCheckSum
	Subsystem               uint16 // 92
	DllCharacteristics      uint16 // 94
	SizeOfStackReserve      uint64 // 96
	SizeOfStackCommit       uint64 // 104
	SizeOfHeapReserve       uint64 // 112
	SizeOfHeapCommit        uint64 // 120
	LoaderFlags             uint32 // 128
	NumberOfRvaAndSizes     uint32 // 132
}

// dataDirectory is one entry of the table that follows peHeader.
type dataDirectory struct {
	Address uint32 // 0: an offset in the file for the certificate table, in memory for all others
	Size    uint32 // 4
}

// sectionHeader is one entry of the section table, which follows the data directories.
type sectionHeader struct {
	Name                 [8]byte // 0: padded with NUL
	VirtualSize          uint32  // 8
	VirtualAddress       uint32  // 12
	SizeOfRawData        uint32  // 16
	PointerToRawData     uint32  // 20
	PointerToRelocations uint32  // 24
	PointerToLineNumbers uint32  // 28
	NumberOfRelocations  uint16  // 32
	NumberOfLineNumbers  uint16  // 34
	Characteristics      uint32  // 36
}

// winCertificate heads one entry of the attribute certificate table (UEFI 2.10, 32.2.4).
type winCertificate struct {
	Length   uint32 // 0: of header and data; ours without the padding, some tools' with it
	Revision uint16 // 4
	Type     uint16 // 6
}

const (
	sizeDOSHeader     = 64
	sizePEHeader      = 136
	sizeDirectory     = 8
	sizeSectionHeader = 40
	sizeCertificate   = 8

	// offsetOptional is where SizeOfOptionalHeader starts to count, and
	// offsetCheckSum the CheckSum field, from the PE signature.
	offsetOptional = 24
	offsetCheckSum = 88

	// directoryCertificates is the index of the certificate table.
	directoryCertificates = 4

	magicPE32Plus           = 0x20b
	subsystemEFIApplication = 10
	maxDirectories          = 16
	maxSections             = 96
	maxAlignment            = 1 << 16

	// certificateAlignment is that of the certificate table and its entries.
	certificateAlignment = 8

	// initializedData and readable are the characteristics of an added section.
	initializedData = 0x00000040
	readable        = 0x40000000
)
