package deb

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// dpkg builds a package of a few files with dpkg-deb, the reference.
func dpkg(t testing.TB, compression string) string {
	t.Helper()
	tool := testkit.Tool(t, "dpkg-deb")
	root := t.TempDir()
	for name, content := range map[string]string{
		"DEBIAN/control": "Package: probe\nVersion: 2:1.5~rc1-3+b2\nArchitecture: amd64\nSource: prober (2:1.5~rc1-3)\n" +
			"Maintainer: Nobody <nobody@example.org>\nDescription: short\n long: not a field\n .\n",
		"usr/bin/probe":                   strings.Repeat("probe\n", 1000),
		"usr/share/doc/probe/copyright":   "free\n",
		"usr/share/" + longName + "/file": "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Symlink("probe", filepath.Join(root, "usr/bin/link")),
		os.Link(filepath.Join(root, "usr/bin/probe"), filepath.Join(root, "usr/bin/twin")),
	); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "probe.deb")
	build := exec.Command(tool, "--root-owner-group", "-Z"+compression, "--build", root, file)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb -Z%s: %v\n%s", compression, err, output)
	}
	return file
}

const longName = "a-name-that-is-much-longer-than-the-hundred-bytes-of-an-old-tar-header/so-that-the-archive-needs-an-extension-for-it"

// entry is what a test compares of a tar entry.
type entry struct {
	Name, Link string
	Type       byte
	Mode       int64
	Content    string
}

func collect(list *[]entry) func(*tar.Header, io.Reader) error {
	return func(h *tar.Header, r io.Reader) error {
		content, err := io.ReadAll(r)
		*list = append(*list, entry{h.Name, h.Linkname, h.Typeflag, h.Mode, string(content)})
		return err
	}
}

func TestReadAgreesWithDpkg(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "xz", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			file := dpkg(t, compression)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []entry
			control, err := Read(bytes.NewReader(content), collect(&got))
			if err != nil {
				t.Fatalf("Read: %v", err)
			}
			wantControl := Control{"probe", "2:1.5~rc1-3+b2", "amd64", "prober (2:1.5~rc1-3)"}
			if control != wantControl {
				t.Errorf("Read: control = %+v; want %+v", control, wantControl)
			}
			reference, err := exec.Command("dpkg-deb", "--fsys-tarfile", file).Output()
			if err != nil {
				t.Fatalf("dpkg-deb --fsys-tarfile: %v", err)
			}
			visit := collect(&want)
			for r := tar.NewReader(bytes.NewReader(reference)); ; {
				h, err := r.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := visit(h, r); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Read: entries differ from dpkg-deb's (-dpkg +ours):\n%s", diff)
			}
		})
	}
}

// member encodes one ar member.
func member(name, content string) string {
	pad := ""
	if len(content)%2 == 1 {
		pad = "\n"
	}
	return fmt.Sprintf("%-16s%-12d%-6d%-6d%-8o%-10d`\n%s%s", name, 0, 0, 0, 0o100644, len(content), content, pad)
}

// tarOf encodes a tar of one file.
func tarOf(name, content string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
	io.WriteString(w, content)
	w.Close()
	return b.String()
}

const fields = "Package: p\nVersion: 1\nArchitecture: all\n"

func TestReadForms(t *testing.T) {
	version := member("debian-binary", "2.0\n")
	control := member("control.tar", tarOf("./control", fields))
	data := member("data.tar", tarOf("./usr/x", "x"))
	for _, test := range []struct {
		name, input, want string // want is part of the error, "" for none
	}{
		{"plain", arMagic + version + control + data, ""},
		{"names with a slash", arMagic + member("debian-binary/", "2.0\n") + member("control.tar/", tarOf("control", fields)) + data, ""},
		{"newer minor version", arMagic + member("debian-binary", "2.1\nmore\n") + control + data, ""},
		{"underscored members", arMagic + version + control + member("_x", "odd") + data, ""},
		{"members after data.tar", arMagic + version + control + data + member("_gpg", "?") + "garbage", ""},
		{"empty", "", "unexpected EOF"},
		{"not ar", "PK\x03\x04aaaaaaaa", "is not the start"},
		{"format 3", arMagic + member("debian-binary", "3.0\n") + control + data, `format version "3.0"`},
		{"no version", arMagic + control + data, `first member is "control.tar"`},
		{"no control", arMagic + version + data, `member "data.tar" stands in its place`},
		{"no data", arMagic + version + control, "find data.tar: unexpected EOF"},
		{"bzip2", arMagic + version + member("control.tar.bz2", "BZh9"), `compression ".bz2"`},
		{"no control file", arMagic + version + member("control.tar", tarOf("md5sums", "")) + data, "no file named control"},
		{"no architecture", arMagic + version + member("control.tar", tarOf("control", "Package: p\nVersion: 1\n")) + data, `no field "architecture"`},
		{"not fields", arMagic + version + member("control.tar", tarOf("control", "nonsense\n")) + data, `"nonsense" is not a field`},
		{"truncated header", arMagic + version[:40], "unexpected EOF"},
		{"truncated data", arMagic + version + control + data[:len(data)-2000], "unexpected EOF"},
		{"size not a number", arMagic + strings.Replace(version, "4         `", "four      `", 1), "member size"},
		{"header end", arMagic + strings.Replace(version, "`\n", "''", 1), "member header ends"},
		{"not gzip", arMagic + version + member("control.tar.gz", "????????????"), "open control.tar.gz"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var entries []entry
			_, err := Read(strings.NewReader(test.input), collect(&entries))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Read: %v; want no error", err)
			case test.want == "" && len(entries) != 1:
				t.Errorf("Read: %d entries; want 1", len(entries))
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("Read: %v; want an error with %q", err, test.want)
			}
		})
	}
}

func TestReadStopsWhenToldTo(t *testing.T) {
	stop := errors.New("enough")
	input := arMagic + member("debian-binary", "2.0\n") + member("control.tar", tarOf("control", fields)) + member("data.tar", tarOf("x", ""))
	_, err := Read(strings.NewReader(input), func(*tar.Header, io.Reader) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("Read: %v; want %v", err, stop)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(arMagic + member("debian-binary", "2.0\n") + member("control.tar", tarOf("control", fields)) + member("data.tar", tarOf("x", "y"))))
	for _, compression := range []string{"gzip", "xz", "zstd"} {
		content, err := os.ReadFile(dpkg(f, compression))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		enough := errors.New("enough")
		var total int64
		Read(bytes.NewReader(input), func(h *tar.Header, r io.Reader) error {
			n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
			if total += n; total > 8<<20 {
				return enough
			}
			return err
		})
	})
}
