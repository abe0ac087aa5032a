package pe

import (
	"bytes"
	"crypto/sha256"
	stdpe "debug/pe"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/efi/internal/fixture"
	"github.com/ketch-os/ketch/internal/testkit"
)

func TestRecordSizes(t *testing.T) {
	for _, test := range []struct {
		record any
		want   int
	}{
		{dosHeader{}, sizeDOSHeader},
		{peHeader{}, sizePEHeader},
		{dataDirectory{}, sizeDirectory},
		{sectionHeader{}, sizeSectionHeader},
		{winCertificate{}, sizeCertificate},
	} {
		if got := binary.Size(test.record); got != test.want {
			t.Errorf("binary.Size(%T) = %d; want %d", test.record, got, test.want)
		}
	}
	h := peHeader{CheckSum: 0x11223344, Magic: magicPE32Plus}
	b, err := binary.Append(nil, binary.LittleEndian, h)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint32(b[offsetCheckSum:]); got != h.CheckSum {
		t.Errorf("CheckSum is not at %d", offsetCheckSum)
	}
	if got := binary.LittleEndian.Uint16(b[offsetOptional:]); got != h.Magic {
		t.Errorf("Magic is not at %d", offsetOptional)
	}
}

func open(t testing.TB, b []byte) *Image {
	t.Helper()
	m, err := Open(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// programs are images to read, other people's and our own.
func programs(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"loader": fixture.Systemd(t, fixture.Loader),
		"stub":   fixture.Systemd(t, fixture.Stub),
		"ours":   fixture.Image([]byte("code"), []byte("tail")),
	}
}

func TestSectionsLikeObjdump(t *testing.T) {
	tool := testkit.Tool(t, "objdump")
	for name, b := range programs(t) {
		path := fixture.Write(t, filepath.Join(t.TempDir(), name), b)
		out := fixture.Run(t, tool, "-h", "-w", path)
		m := open(t, b)
		for i, s := range m.Sections() {
			// Idx Name Size VMA LMA File-offset
			size := min(s.Size, s.VirtualSize) // objdump shows the smaller one
			want := fmt.Sprintf("%d %s %08x %016x %016x %08x", i, s.Name, size, s.VirtualAddress, s.VirtualAddress, s.Offset)
			if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
				t.Errorf("%s: objdump does not say %q:\n%s", name, want, out)
			}
		}
	}
}

// debug/pe is another reader: sections and content must agree.
func TestSectionsLikeDebugPE(t *testing.T) {
	for name, b := range programs(t) {
		other, err := stdpe.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		m := open(t, b)
		sections := m.Sections()
		if len(sections) != len(other.Sections) {
			t.Fatalf("%s: %d sections; debug/pe finds %d", name, len(sections), len(other.Sections))
		}
		for i, s := range sections {
			o := other.Sections[i]
			if s.Name != o.Name || s.VirtualAddress != o.VirtualAddress || s.VirtualSize != o.VirtualSize || s.Offset != o.Offset || s.Size != o.Size {
				t.Errorf("%s: section %+v; debug/pe has %+v", name, s, o.SectionHeader)
			}
			content, err := o.Data()
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Data(s); !bytes.Equal(got, content[:min(s.VirtualSize, s.Size)]) {
				t.Errorf("%s: content of %s differs from debug/pe's", name, s.Name)
			}
		}
	}
}

// systemd's programs carry the checksum that binutils computed.
func TestChecksum(t *testing.T) {
	for _, name := range []string{fixture.Loader, fixture.Stub} {
		m := open(t, fixture.Systemd(t, name))
		if got, want := m.Checksum(), m.header.CheckSum; got != want {
			t.Errorf("%s: Checksum() = %#x; want %#x", name, got, want)
		}
	}
}

// The definition, one 16-bit word at a time.
func TestChecksumByDefinition(t *testing.T) {
	for tail := range 9 {
		for _, shift := range []int{0, 1, 2, 3} { // an odd PE offset puts the field across words
			b := shifted(fixture.Image([]byte("some code"), bytes.Repeat([]byte{0xf7}, tail)), shift)
			m := open(t, b)
			at := m.at + offsetCheckSum
			plain := bytes.Clone(b)
			copy(plain[at:], []byte{0, 0, 0, 0})
			sum := uint32(0)
			for i := 0; i < len(plain); i += 2 {
				word := uint32(plain[i])
				if i+1 < len(plain) {
					word |= uint32(plain[i+1]) << 8
				}
				sum += word
				sum = sum&0xffff + sum>>16
			}
			if got, want := m.Checksum(), sum+uint32(len(b)); got != want {
				t.Errorf("tail %d, shift %d: Checksum() = %#x; want %#x", tail, shift, got, want)
			}
		}
	}
}

// shifted moves the PE header of a fixture image n bytes up.
func shifted(b []byte, n int) []byte {
	b = bytes.Clone(b)
	copy(b[64+n:0x300], bytes.Clone(b[64:0x300-n]))
	binary.LittleEndian.PutUint32(b[60:], uint32(64+n))
	return b
}

func TestOpenRefuses(t *testing.T) {
	const (
		file     = 64 + 4
		optional = 64 + 24
		dirs     = optional + 112
		table    = dirs + 16*8
	)
	le := binary.LittleEndian
	put32 := func(at int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[at:], v) } }
	put16 := func(at int, v uint16) func([]byte) { return func(b []byte) { le.PutUint16(b[at:], v) } }
	for _, test := range []struct {
		name string
		edit func([]byte)
		want string
	}{
		{"no MZ", put16(0, 0), "no MZ header"},
		{"PE header beyond the file", put32(60, 1<<31), "no PE header"},
		{"PE header in the DOS header", put32(60, 4), "no PE header"},
		{"no PE signature", put32(64, 0), "no PE header"},
		{"PE32", put16(optional, 0x10b), "not PE32+"},
		{"alignment 0", put32(optional+36, 0), "alignment"},
		{"alignment 3", put32(optional+36, 3), "alignment"},
		{"alignment huge", put32(optional+32, 1<<31), "alignment"},
		{"many directories", put32(optional+108, 17), "17 data directories"},
		{"few directories", put32(optional+108, 4), "no data directory"},
		{"small optional header", put16(file+16, 112), "do not fit in the optional header"},
		{"many sections", put16(file+2, 97), "97 sections"},
		{"section table beyond headers", put16(file+2, 90), "does not fit in the headers"},
		{"optional header beyond headers", put16(file+16, 0xffff), "does not fit in the headers"},
		{"headers beyond the file", put32(optional+60, 1<<31), "ends within its headers"},
		{"section beyond the file", put32(table+20, 0xfffffff0), "ends beyond the file"},
		{"section larger than the file", put32(table+16, 0xffffffff), "ends beyond the file"},
		{"section in the headers", put32(table+20, 0x200), "within the headers"},
		{"section beyond the image", put32(table+12, 0xffffffff), "beyond SizeOfImage"},
		{"two sections in one place", func(b []byte) {
			le.PutUint16(b[file+2:], 2)
			copy(b[table+40:], b[table:table+40])
		}, "overlap in the file"},
		{"two sections in one place in memory", func(b []byte) {
			le.PutUint16(b[file+2:], 2)
			copy(b[table+40:], b[table:table+40])
			le.PutUint32(b[table+40+16:], 0)
		}, "overlap in memory"},
		{"certificates of no size", put32(dirs+32, 8), "no size"},
		{"certificates beyond the file", put32(dirs+36, 8), "overlaps a section"},
		{"certificates not aligned", func(b []byte) { put32(dirs+32, 0x601)(b); put32(dirs+36, 8)(b) }, "not aligned"},
		{"certificates not at the end", func(b []byte) { put32(dirs+32, 0x600)(b); put32(dirs+36, 9)(b) }, "does not end where"},
	} {
		b := fixture.Image([]byte("code"), make([]byte, 8))
		test.edit(b)
		if _, err := Open(b); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Open = %v; want error with %q", test.name, err, test.want)
		}
	}
}

func TestOpenRefusesEveryTruncation(t *testing.T) {
	b := fixture.Image([]byte("code"), nil)
	for n := range b {
		if _, err := Open(b[:n]); err == nil {
			t.Errorf("Open of the first %d bytes succeeded", n)
		}
	}
}

// The table's room, alignment and size rules, swept over sizes of content.
func TestAddSection(t *testing.T) {
	for _, size := range []int{1, 2, 511, 512, 513, 4095, 4096, 100_000} {
		m := open(t, fixture.Image([]byte("code"), nil))
		first, second := bytes.Repeat([]byte{0xa5}, size), []byte("second")
		if err := m.AddSection(".first", first); err != nil {
			t.Fatal(err)
		}
		if err := m.AddSection(".second", second); err != nil {
			t.Fatal(err)
		}
		again := open(t, m.Bytes())
		sections := again.Sections()
		if len(sections) != 3 || sections[1].Name != ".first" || sections[2].Name != ".second" {
			t.Fatalf("size %d: sections %+v", size, sections)
		}
		for _, s := range sections[1:] {
			if s.VirtualAddress%0x200 != 0 || s.Offset%0x200 != 0 || s.Size%0x200 != 0 {
				t.Errorf("size %d: section %+v is not aligned", size, s)
			}
		}
		if !bytes.Equal(again.Data(sections[1]), first) || !bytes.Equal(again.Data(sections[2]), second) {
			t.Errorf("size %d: content differs", size)
		}
		if got, want := again.header.SizeOfImage, sections[2].VirtualAddress+0x200; got != want {
			t.Errorf("size %d: SizeOfImage = %#x; want %#x", size, got, want)
		}
		if got, want := again.header.CheckSum, again.Checksum(); got != want {
			t.Errorf("size %d: checksum %#x; want %#x", size, got, want)
		}
		if got, want := len(again.Bytes()), int(sections[2].Offset+sections[2].Size); got != want {
			t.Errorf("size %d: file has %d bytes; want %d", size, got, want)
		}
	}
}

func TestAddSectionLeavesInputAlone(t *testing.T) {
	b := append(make([]byte, 0, 1<<16), fixture.Image([]byte("code"), nil)...)
	before := bytes.Clone(b)
	if err := open(t, b).AddSection(".new", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, before) || !bytes.Equal(b[len(b):cap(b)], make([]byte, cap(b)-len(b))) {
		t.Error("AddSection changed the bytes given to Open")
	}
}

func TestAddSectionRefuses(t *testing.T) {
	symbols := func(b []byte) []byte { // a symbol table right behind the section
		b = append(b, "symbols"...)
		binary.LittleEndian.PutUint32(b[64+12:], 0x600)
		return b
	}
	plain := fixture.Image([]byte("code"), nil)
	for _, test := range []struct {
		title   string
		image   []byte
		name    string
		content string
		want    string
	}{
		{"long name", plain, ".too-long", "x", "1 to 8 bytes"},
		{"no name", plain, "", "x", "1 to 8 bytes"},
		{"no content", plain, ".x", "", "no content"},
		{"twice", plain, ".text", "x", "has one of that name"},
		{"tail", fixture.Image([]byte("code"), []byte("tail")), ".x", "x", "unknown data follows"},
		{"dirty header", dirty(plain), ".x", "x", "followed by unknown data"},
		{"long section names", func() []byte { b := symbols(bytes.Clone(plain)); b[0x148] = '/'; return b }(), ".x", "x", "string table"},
	} {
		err := open(t, test.image).AddSection(test.name, []byte(test.content))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: AddSection = %v; want error with %q", test.title, err, test.want)
		}
	}
	m := open(t, symbols(bytes.Clone(plain)))
	if err := m.AddSection(".x", []byte("x")); err != nil {
		t.Errorf("AddSection with a symbol table: %v", err)
	}
	if h := open(t, m.Bytes()).header; h.PointerToSymbolTable != 0 || h.NumberOfSymbols != 0 {
		t.Errorf("symbol table is still at %#x", h.PointerToSymbolTable)
	}
}

// dirty puts something where the next section header would go.
func dirty(b []byte) []byte {
	b = bytes.Clone(b)
	b[0x148+40] = 1
	return b
}

func TestAddSectionUntilFull(t *testing.T) {
	m := open(t, fixture.Image([]byte("code"), nil))
	room := (0x400 - 0x148) / 40
	for i := 1; i < room; i++ {
		if err := m.AddSection(fmt.Sprintf(".s%d", i), []byte{1}); err != nil {
			t.Fatalf("section %d of %d: %v", i, room, err)
		}
	}
	before := bytes.Clone(m.Bytes())
	if err := m.AddSection(".more", []byte{1}); err == nil || !strings.Contains(err.Error(), "section table is full") {
		t.Errorf("AddSection = %v; want that the section table is full", err)
	}
	if !bytes.Equal(m.Bytes(), before) {
		t.Error("a refused section changed the image")
	}
}

func TestAddSectionRefusesSigned(t *testing.T) {
	m := open(t, fixture.Image([]byte("code"), nil))
	if err := m.SetCertificates(Certificate{CertificateRevision2, CertificateSignedData, []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := m.AddSection(".x", []byte{1}); err == nil || !strings.Contains(err.Error(), "already signed") {
		t.Errorf("AddSection = %v; want that the image is signed", err)
	}
}

func TestCertificates(t *testing.T) {
	for tail := range 9 {
		b := fixture.Image([]byte("code"), bytes.Repeat([]byte{7}, tail))
		m := open(t, b)
		unsigned, err := m.Digest()
		if err != nil {
			t.Fatal(err)
		}
		want := []Certificate{{0x200, 2, []byte("12345")}, {0x100, 1, []byte("12345678")}, {0x200, 2, []byte{}}}
		if err := m.SetCertificates(want...); err != nil {
			t.Fatal(err)
		}
		m = open(t, m.Bytes())
		got, err := m.Certificates()
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("tail %d: Certificates() = %v; want %v", tail, got, want)
		}
		if signed, err := m.Digest(); err != nil || signed != unsigned {
			t.Errorf("tail %d: digest %x, %v after signing; %x before", tail, signed, err, unsigned)
		}
		if m.header.CheckSum != m.Checksum() {
			t.Errorf("tail %d: checksum is wrong", tail)
		}
		if err := m.SetCertificates(); err != nil {
			t.Fatal(err)
		}
		m = open(t, m.Bytes())
		if m.Signed() || len(m.Bytes()) != (len(b)+7)/8*8 {
			t.Errorf("tail %d: %d bytes left after removing the table; want %d", tail, len(m.Bytes()), (len(b)+7)/8*8)
		}
	}
}

func TestDigestRefusesHoles(t *testing.T) {
	b := fixture.Image([]byte("code"), make([]byte, 0x200))
	binary.LittleEndian.PutUint32(b[0x148+20:], 0x600)
	if _, err := open(t, b).Digest(); err == nil || !strings.Contains(err.Error(), "hole before section .text") {
		t.Errorf("Digest = %v; want that there is a hole", err)
	}
}

// Every byte is in the digest, but for the checksum and the directory entry.
func TestDigestCoversEveryByte(t *testing.T) {
	b := fixture.Image([]byte("code"), []byte("tail"))
	whole, err := open(t, b).Digest()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		excluded := i >= 64+offsetCheckSum && i < 64+offsetCheckSum+4
		changed := bytes.Clone(b)
		changed[i] ^= 0x10
		m, err := Open(changed)
		if err != nil {
			continue
		}
		if digest, err := m.Digest(); err == nil && (digest == whole) != excluded {
			t.Errorf("byte %#x changed: digest is the same: %v; want %v", i, digest == whole, excluded)
		}
	}
}

// osslsigncode prints the digest it would sign.
func TestDigestLikeOsslsigncode(t *testing.T) {
	tool := testkit.Tool(t, "osslsigncode")
	for name, b := range programs(t) {
		key := fixture.Key(t, "Test", nil)
		keyFile, certFile := key.Files(t)
		dir := t.TempDir()
		in, out := fixture.Write(t, filepath.Join(dir, name), b), filepath.Join(dir, "out")
		fixture.Run(t, tool, "sign", "-h", "sha256", "-key", keyFile, "-certs", certFile, "-in", in, "-out", out)
		signed, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		table, err := open(t, signed).Certificates()
		if err != nil || len(table) != 1 {
			t.Fatalf("%s: certificates %v, %v", name, table, err)
		}
		digest, err := open(t, b).Digest()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(table[0].Data, append([]byte{4, sha256.Size}, digest[:]...)) {
			t.Errorf("%s: osslsigncode did not sign %x", name, digest)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(fixture.Image([]byte("code"), nil))
	f.Add(fixture.Image([]byte("code"), []byte("tail")))
	f.Add(shifted(fixture.Image([]byte("code"), nil), 3))
	m := open(f, fixture.Image([]byte("code"), []byte("tail")))
	if err := m.SetCertificates(Certificate{0x200, 2, []byte("signature")}); err != nil {
		f.Fatal(err)
	}
	f.Add(m.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Open(b)
		if err != nil {
			return
		}
		for _, s := range m.Sections() {
			m.Data(s)
		}
		m.Checksum()
		digest, holes := m.Digest()
		before := bytes.Clone(b)
		if m.AddSection(".fuzz", []byte("content")) == nil {
			if _, err := Open(m.Bytes()); err != nil {
				t.Errorf("after AddSection: %v", err)
			}
		}
		if !bytes.Equal(b, before) {
			t.Error("AddSection changed its input")
		}
		m, _ = Open(b)
		table, err := m.Certificates()
		if err != nil {
			return
		}
		if err := m.SetCertificates(append(table, Certificate{0x200, 2, []byte("x")})...); err != nil {
			t.Fatal(err)
		}
		if m, err = Open(m.Bytes()); err != nil {
			t.Fatalf("after SetCertificates: %v", err)
		}
		if again, err := m.Digest(); holes == nil && (err != nil || again != digest) {
			t.Errorf("digest %x, %v after SetCertificates; %x before", again, err, digest)
		}
	})
}
