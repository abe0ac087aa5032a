package uki

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/efi/internal/fixture"
	"github.com/ketch-os/ketch/efi/pe"
	"github.com/ketch-os/ketch/internal/testkit"
)

func sample() Sections {
	return Sections{
		OSRel:   "ID=ketch\nVERSION_ID=1.0\n",
		Cmdline: "usrhash=00 console=ttyS0",
		Uname:   "6.1.0-ketch",
		Initrd:  bytes.Repeat([]byte("initrd"), 1000),
		Linux:   append([]byte("MZ"), bytes.Repeat([]byte{0x90}, 5000)...),
	}
}

func TestBuildParse(t *testing.T) {
	stub := fixture.Image([]byte("code"), nil)
	full := sample()
	full.SBAT = "sbat,1,SBAT Version,sbat,1,https://example.org\n"
	least := sample()
	least.Uname, least.Initrd = "", nil
	for _, want := range []Sections{sample(), full, least} {
		image, err := Build(stub, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(image)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(*got) != fmt.Sprint(want) {
			t.Errorf("Parse(Build(%.40q…)) = %.40q…", fmt.Sprint(want), fmt.Sprint(*got))
		}
		again, err := Build(stub, want)
		if err != nil || !bytes.Equal(image, again) {
			t.Errorf("Build gives other bytes the second time (%v)", err)
		}
	}
}

func TestOrder(t *testing.T) {
	image, err := Build(fixture.Systemd(t, fixture.Stub), sample())
	if err != nil {
		t.Fatal(err)
	}
	m, err := pe.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range m.Sections() {
		names = append(names, s.Name)
	}
	if got, want := strings.Join(names, " "), ".sbat .sdmagic .osrel .cmdline .uname .initrd .linux"; !strings.HasSuffix(got, want) {
		t.Errorf("sections %s; want them to end in %s", got, want)
	}
	s, err := Parse(image)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.SBAT, "sbat,1,") {
		t.Errorf("SBAT = %q; want the stub's", s.SBAT)
	}
}

// objcopy is how systemd's manual page of the stub builds an image: other tools
// must find in ours, section by section, what they find in that one.
func TestContentLikeObjcopy(t *testing.T) {
	objcopy := testkit.Tool(t, "objcopy")
	stub, s, dir := fixture.Systemd(t, fixture.Stub), sample(), t.TempDir()
	ours, err := Build(stub, s)
	if err != nil {
		t.Fatal(err)
	}
	m, err := pe.Open(ours)
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, section := range m.Sections() {
		i := strings.Index(" .osrel .cmdline .uname .initrd .linux ", " "+section.Name+" ")
		if i < 0 {
			continue
		}
		file := fixture.Write(t, filepath.Join(dir, section.Name), m.Data(section))
		args = append(args, "--add-section", section.Name+"="+file,
			"--change-section-vma", fmt.Sprintf("%s=%#x", section.Name, section.VirtualAddress))
	}
	theirsFile := filepath.Join(dir, "theirs")
	fixture.Run(t, objcopy, append(args, fixture.Write(t, filepath.Join(dir, "stub"), stub), theirsFile)...)
	oursFile := fixture.Write(t, filepath.Join(dir, "ours"), ours)
	for _, section := range m.Sections() {
		a, b := dump(t, objcopy, oursFile, section.Name), dump(t, objcopy, theirsFile, section.Name)
		if len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("section %s: %d bytes in ours, %d in objcopy's, or they differ", section.Name, len(a), len(b))
		}
	}
	theirs, err := os.ReadFile(theirsFile)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.SBAT = ""; fmt.Sprint(*parsed) != fmt.Sprint(s) {
		t.Errorf("Parse of objcopy's image = %.60q…", fmt.Sprint(*parsed))
	}
}

// dump has objcopy extract a section.
func dump(t *testing.T, objcopy, file, section string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "section")
	fixture.Run(t, objcopy, "-O", "binary", "--only-section", section, "--set-section-flags", section+"=alloc", file, out)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestObjdumpFindsNoFault(t *testing.T) {
	tool := testkit.Tool(t, "objdump")
	image, err := Build(fixture.Systemd(t, fixture.Stub), sample())
	if err != nil {
		t.Fatal(err)
	}
	out := fixture.Run(t, tool, "-x", fixture.Write(t, filepath.Join(t.TempDir(), "uki"), image))
	if strings.Contains(strings.ToLower(out), "warning") || strings.Contains(strings.ToLower(out), "corrupt") {
		t.Errorf("objdump -x:\n%s", out)
	}
}

func TestBuildRefuses(t *testing.T) {
	stub := fixture.Image([]byte("code"), nil)
	driver := bytes.Clone(stub)
	driver[64+92] = 11 // EFI boot service driver
	for _, test := range []struct {
		name string
		stub []byte
		edit func(*Sections)
		want string
	}{
		{"no os-release", stub, func(s *Sections) { s.OSRel = "" }, ".osrel is missing"},
		{"NUL in os-release", stub, func(s *Sections) { s.OSRel = "a\x00" }, ".osrel contains a NUL"},
		{"no command line", stub, func(s *Sections) { s.Cmdline = "" }, ".cmdline is missing or empty"},
		{"blank command line", stub, func(s *Sections) { s.Cmdline = "  " }, ".cmdline is missing or empty"},
		{"newline", stub, func(s *Sections) { s.Cmdline = "a=b\n" }, "not one line of printable ASCII"},
		{"NUL", stub, func(s *Sections) { s.Cmdline = "a=b\x00c" }, "not one line of printable ASCII"},
		{"not ASCII", stub, func(s *Sections) { s.Cmdline = "a=ä" }, "not one line of printable ASCII"},
		{"not UTF-8", stub, func(s *Sections) { s.Cmdline = "a=\xff" }, "not one line of printable ASCII"},
		{"long command line", stub, func(s *Sections) { s.Cmdline = strings.Repeat("x", 2048) }, "the kernel takes 2047"},
		{"newline in release", stub, func(s *Sections) { s.Uname = "6.1\n" }, ".uname"},
		{"no kernel", stub, func(s *Sections) { s.Linux = nil }, ".linux is missing"},
		{"not a kernel", stub, func(s *Sections) { s.Linux = []byte("\x7fELF") }, ".linux is not an EFI program"},
		{"no stub", nil, func(*Sections) {}, "stub: read PE image: no MZ header"},
		{"driver as stub", driver, func(*Sections) {}, "stub: not an EFI application"},
		{"UKI as stub", must(Build(stub, sample())), func(*Sections) {}, "add section .osrel: image has one of that name"},
	} {
		s := sample()
		test.edit(&s)
		if _, err := Build(test.stub, s); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Build = %v; want error with %q", test.name, err, test.want)
		}
	}
	s := sample()
	s.SBAT = "sbat"
	if _, err := Build(fixture.Systemd(t, fixture.Stub), s); err == nil || !strings.Contains(err.Error(), ".sbat: image has one") {
		t.Errorf("two .sbat: Build = %v; want an error", err)
	}
}

func TestParseRefuses(t *testing.T) {
	image := must(Build(fixture.Image([]byte("code"), nil), sample()))
	twice := bytes.Clone(image)
	copy(twice[bytes.Index(twice, []byte(".uname")):], ".osrel\x00\x00")
	short := bytes.Clone(image)
	copy(short[bytes.Index(short, []byte(".cmdline"))+16:], []byte{0, 0}) // SizeOfRawData
	for _, test := range []struct {
		name  string
		image []byte
		want  string
	}{
		{"empty", nil, "no MZ header"},
		{"truncated", image[:len(image)-1], "section .linux ends beyond the file"},
		{"not a UKI", fixture.Image([]byte("code"), nil), ".osrel is missing"},
		{"twice", twice, "section .osrel exists twice"},
		{"grows in memory", short, "section .cmdline is larger in memory"},
		{"NUL in command line", bytes.Replace(image, []byte("console"), []byte("consol\x00"), 1), "printable ASCII"},
	} {
		if _, err := Parse(test.image); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Parse = %v; want error with %q", test.name, err, test.want)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func FuzzParse(f *testing.F) {
	f.Add(must(Build(fixture.Image([]byte("code"), nil), sample())))
	f.Add(fixture.Image([]byte("code"), nil))
	stub := fixture.Image([]byte("code"), nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		image, err := Build(stub, *s)
		if err != nil {
			t.Fatalf("Build of what Parse returned: %v", err)
		}
		if again, err := Parse(image); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Errorf("Parse of a rebuilt image = %v, %v; want %v", again, err, s)
		}
	})
}
