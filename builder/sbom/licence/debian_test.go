package licence

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

const format = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"

// ofText is the end of a LicenseRef, which depends on the licence's text.
var ofText = regexp.MustCompile(`(LicenseRef-\S+-)[0-9a-f]{8}\b`)

func TestDebian(t *testing.T) {
	for field, want := range map[string]string{
		"Expat":                                "MIT",
		"GPL-2":                                "GPL-2.0-only",
		"gpl-2.0+":                             "GPL-2.0-or-later",
		"LGPL-2.1+":                            "LGPL-2.1-or-later",
		"GFDL-1.3":                             "GFDL-1.3-only",
		"Apache-2.0":                           "Apache-2.0",
		"CC0-1.0":                              "CC0-1.0",
		"GPL-2+ or Artistic-2.0":               "GPL-2.0-or-later OR Artistic-2.0",
		"GPL-2+ and Expat":                     "GPL-2.0-or-later AND MIT",
		"GPL-2+ or Artistic-2.0, and ISC":      "(GPL-2.0-or-later OR Artistic-2.0) AND ISC",
		"ISC or Expat and GPL-3":               "ISC OR (MIT AND GPL-3.0-only)",
		"Expat, ISC":                           "ISC AND MIT",
		"GPL-2 with Linux-syscall-note":        "GPL-2.0-only WITH Linux-syscall-note",
		"GPL-3+ with Bison exception":          "GPL-3.0-or-later WITH Bison-exception-2.2",
		"ours\n" + indent(bsd2+bsdEnd):         "BSD-2-Clause",
		"public-domain\n free as air":          "LicenseRef-public-domain-x",
		"GPL-2+ with OpenSSL exception\n link": "LicenseRef-GPL-2-with-OpenSSL-exception-x",
		"GPL":                                  "LicenseRef-GPL-x",
	} {
		got, err := Debian(format + "\nFiles: *\nCopyright: X\nLicense: " + field + "\n")
		if err != nil || ofText.ReplaceAllString(got.Expression, "${1}x") != want || !Valid(got.Expression) {
			t.Errorf("Debian of License: %.40s = %q, %v; want %q", field, got.Expression, err, want)
		}
		if refs := strings.Count(want, "LicenseRef-"); len(got.Refs) != refs {
			t.Errorf("Debian of License: %.40s has %d references; want %d", field, len(got.Refs), refs)
		}
	}
}

func indent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(strings.TrimPrefix(line, "//"), "\n"); strings.TrimSpace(line) == "" {
			line = "."
		}
		out.WriteString(" " + line + "\n")
	}
	return strings.TrimRight(out.String(), "\n")
}

func TestDebianParagraphs(t *testing.T) {
	got, err := Debian(format + "Upstream-Name: x\n\nFiles: *\nLicense: GPL-2+\n\nFiles: debian/*\nLicense: own\n\nFiles: doc/*\nLicense: GPL-2+ or Expat\n\n" +
		"License: own\n Do what you like.\n .\n Really.\n\nLicense: GPL-2+\n See /usr/share/common-licenses.\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Refs) != 1 || got.Refs[0].Name != "own" || got.Refs[0].Text != "Do what you like.\n\nReally." {
		t.Fatalf("Debian: references %+v", got.Refs)
	}
	if want := "GPL-2.0-or-later AND (GPL-2.0-or-later OR MIT) AND " + got.Refs[0].ID; got.Expression != want {
		t.Errorf("Debian = %q; want %q", got.Expression, want)
	}
	other, err := Debian(format + "\nFiles: *\nLicense: own\n Do what I like.\n")
	if err != nil || other.Refs[0].ID == got.Refs[0].ID {
		t.Errorf("another text under the same name has the same identifier: %+v, %v", other, err)
	}
}

func TestDebianRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"":                            ErrNotMachineReadable,
		"This is GNU libc.\n":         ErrNotMachineReadable,
		"Format: something else\n":    ErrNotMachineReadable,
		format + "nonsense":           nil,
		format + "\nFiles: *\n":       nil,
		format + "\nLicense: Expat\n": nil, // of no files
	} {
		got, err := Debian(text)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("Debian(%q) = %+v, %v; want an error (%v)", text, got, err, want)
		}
	}
}

// Real copyright files, and what a person reads in them: of packages that
// scripts/setup installs or any Debian has.
func TestDebianOfPackages(t *testing.T) {
	for name, want := range map[string]string{
		"libjansson4":      "MIT",
		"gdisk":            "LGPL-2.0-or-later",
		"zstd":             "(BSD-3-Clause OR GPL-2.0-only) AND MIT AND Zlib",
		"ca-certificates":  "GPL-2.0-or-later AND MPL-2.0",
		"systemd-boot-efi": "GPL-2.0-only WITH Linux-syscall-note",
		"libgmp10":         "(GPL-2.0-or-later OR LGPL-3.0-or-later)",
	} {
		file := "/usr/share/doc/" + name + "/copyright"
		testkit.File(t, file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Debian(string(text)); err != nil || !strings.Contains(got.Expression, want) || !Valid(got.Expression) {
			t.Errorf("Debian of %s = %q, %v; want %q in it", file, got.Expression, err, want)
		}
	}
}

func FuzzDebian(f *testing.F) {
	f.Add(format + "\nFiles: *\nLicense: GPL-2+ or Expat, and own with exception\n text\n\nLicense: own\n more\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Debian(text)
		if err == nil && !Valid(got.Expression) {
			t.Fatalf("Debian(%q) = %q, no expression", text, got.Expression)
		}
	})
}
