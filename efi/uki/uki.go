// Package uki makes and reads unified kernel images: a kernel, its initramfs and
// its command line as sections of one PE file, behind a stub that firmware runs.
//
// It follows UAPI.5, Unified Kernel Image. Left out: what Ketch has no use for,
// such as device trees, splash images, microcode, profiles and PCR policies; the
// stub does its own thing with them, and Parse passes over them.
package uki

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ketch-os/ketch/efi/pe"
)

// Sections is the content of a unified kernel image.
type Sections struct {
	OSRel   string // .osrel: os-release(5); boot loaders show no image without it
	Cmdline string // .cmdline: the kernel's command line, printable ASCII
	Uname   string // .uname: the kernel's release, as uname -r says it; may be empty
	SBAT    string // .sbat: revocation data, as CSV; systemd's stub brings its own, and then it must be empty
	Initrd  []byte // .initrd: the initramfs; may be empty
	Linux   []byte // .linux: the kernel, itself an EFI program
}

// maxCmdline is what x86 takes, without its final NUL (COMMAND_LINE_SIZE).
const maxCmdline = 2047

// section ties a field of Sections to its name in the file.
type section struct {
	name string
	get  func(*Sections) []byte
	set  func(*Sections, []byte)
}

// sections is in the order in which the file holds them. UAPI.5 leaves the order
// open; .linux comes last because stubs before systemd 252 ran the kernel where
// it lay, and it grew over what followed.
func sections() []section {
	return []section{
		text(".sbat", func(s *Sections) *string { return &s.SBAT }),
		text(".osrel", func(s *Sections) *string { return &s.OSRel }),
		text(".cmdline", func(s *Sections) *string { return &s.Cmdline }),
		text(".uname", func(s *Sections) *string { return &s.Uname }),
		blob(".initrd", func(s *Sections) *[]byte { return &s.Initrd }),
		blob(".linux", func(s *Sections) *[]byte { return &s.Linux }),
	}
}

func text(name string, field func(*Sections) *string) section {
	return section{name,
		func(s *Sections) []byte { return []byte(*field(s)) },
		func(s *Sections, b []byte) { *field(s) = string(b) }}
}

func blob(name string, field func(*Sections) *[]byte) section {
	return section{name,
		func(s *Sections) []byte { return *field(s) },
		func(s *Sections, b []byte) { *field(s) = b }}
}

// Build puts the sections behind those of the stub. It is to be signed next.
func Build(stub []byte, s Sections) ([]byte, error) {
	image, err := build(stub, s)
	if err != nil {
		return nil, fmt.Errorf("build UKI: %w", err)
	}
	return image, nil
}

func build(stub []byte, s Sections) ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	image, err := pe.Open(stub)
	if err != nil {
		return nil, fmt.Errorf("stub: %w", err)
	}
	if !image.EFIApplication() {
		return nil, errors.New("stub: not an EFI application")
	}
	for _, part := range sections() {
		content := part.get(&s)
		if len(content) == 0 {
			continue
		}
		if err := image.AddSection(part.name, content); err != nil {
			return nil, err
		}
	}
	return image.Bytes(), nil
}

// Parse reads the sections of a unified kernel image, signed or not. Initrd and
// Linux point into image.
func Parse(image []byte) (*Sections, error) {
	s, err := parse(image)
	if err != nil {
		return nil, fmt.Errorf("parse UKI: %w", err)
	}
	return s, nil
}

func parse(file []byte) (*Sections, error) {
	image, err := pe.Open(file)
	if err != nil {
		return nil, err
	}
	if !image.EFIApplication() {
		return nil, errors.New("not an EFI application")
	}
	found := map[string]pe.Section{}
	for _, section := range image.Sections() {
		if _, twice := found[section.Name]; twice {
			return nil, fmt.Errorf("section %s exists twice", section.Name)
		}
		found[section.Name] = section
	}
	var s Sections
	for _, part := range sections() {
		section := found[part.name]
		if section.VirtualSize > section.Size {
			return nil, fmt.Errorf("section %s is larger in memory than in the file", part.name)
		}
		part.set(&s, image.Data(section))
	}
	return &s, s.validate()
}

// validate checks what the stub and the kernel silently rely on.
func (s *Sections) validate() error {
	switch {
	case s.OSRel == "":
		return errors.New("section .osrel is missing")
	case strings.ContainsRune(s.OSRel, 0):
		return errors.New("section .osrel contains a NUL")
	case strings.ContainsFunc(s.Uname, unprintable):
		return fmt.Errorf("section .uname %q is not printable ASCII", s.Uname)
	case len(s.Linux) == 0:
		return errors.New("section .linux is missing")
	case string(s.Linux[:min(2, len(s.Linux))]) != "MZ":
		return errors.New("section .linux is not an EFI program: the kernel needs CONFIG_EFI_STUB")
	}
	return checkCmdline(s.Cmdline)
}

// checkCmdline insists on a command line: without one the stub takes whatever
// it was started with, Secure Boot or not.
func checkCmdline(cmdline string) error {
	switch {
	case strings.TrimSpace(cmdline) == "":
		return errors.New("section .cmdline is missing or empty")
	case strings.ContainsFunc(cmdline, unprintable):
		return fmt.Errorf("section .cmdline %q is not one line of printable ASCII", cmdline)
	case len(cmdline) > maxCmdline:
		return fmt.Errorf("section .cmdline has %d bytes, the kernel takes %d", len(cmdline), maxCmdline)
	}
	return nil
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }
