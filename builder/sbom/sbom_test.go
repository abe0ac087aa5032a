package sbom

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/tree"
)

// files is a layer: path → content. A directory ends in a slash, a link starts with →.
type files map[string]string

// apply puts a layer onto the tree.
func (f files) apply(t *testing.T, to *tree.Tree, origin *tree.Origin) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(f[name]))}
		if target, link := strings.CutPrefix(f[name], "→"); link {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f[name])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := to.Apply(tree.Layer{Origin: origin, Blob: bytes.NewReader(archive.Bytes()), Size: int64(archive.Len())}); err != nil {
		t.Fatal(err)
	}
}

const (
	elf       = "\x7fELF…"
	copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ or odd\n\nLicense: odd\n Odd terms.\n"
)

// program compiles a Go program of another module.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sbom-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "dmesg")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", file, "github.com/u-root/u-root/cmds/core/dmesg").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	data, err := os.ReadFile(file)
	return string(data), err
})

// app is that program, and what go version tells of it.
func app(t *testing.T) (string, *debug.BuildInfo) {
	t.Helper()
	data, err := program()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(strings.NewReader(data))
	if err != nil || len(info.Deps) == 0 {
		t.Fatalf("build information of the program: %v, %v", info, err)
	}
	return data, info
}

var released = time.Date(2026, 11, 22, 1, 2, 3, 500, time.UTC)

// source is an image of one of our layers and three of other people's.
func source(t *testing.T) Source {
	t.Helper()
	binary, info := app(t)
	merged := tree.New(tree.Policy{Links: tree.LinksFollow})
	s := Source{Name: "Test", Version: "1.0", Released: released, Kernel: "linux-source-6.1 6.1.1-1", Tree: merged}
	for i, layer := range []struct {
		ref   string
		files files
	}{
		{"registry.example/debian:12", files{
			"bin": "→usr/bin", "usr/bin/tool": elf + "tool", "usr/bin/stray": elf, "usr/lib/libx.so": elf + "x", "etc/os-release": "NAME=x\nID=\"debian\"\n",
			"usr/share/doc/tool/copyright": copyright, "usr/bin/script": "#!/bin/sh\n",
			"var/lib/dpkg/status": "Package: tool\nStatus: install ok installed\nVersion: 1:2-3+b1\nArchitecture: amd64\nSource: tools (1:2-3)\n\n" +
				"Package: libx\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n" +
				"Package: elsewhere\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
			"var/lib/dpkg/info/tool.list":       "/.\n/bin\n/bin/tool\n/usr/share/doc/tool/copyright\n",
			"var/lib/dpkg/info/libx:amd64.list": "/usr/lib/libx.so\n",
			"var/lib/dpkg/info/elsewhere.list":  "/var/elsewhere\n",
		}},
		{"oci:distroless", files{
			"usr/lib/libd.so":                    elf + "d",
			"var/lib/dpkg/status.d/libd":         "Package: libd\nVersion: 3\nArchitecture: amd64\n",
			"var/lib/dpkg/status.d/libd.md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/lib/libd.so\n",
		}},
		{"oci:app", files{"usr/bin/app": binary, "usr/lib/libx.so": elf + "another"}},
		{"oci:kernel", files{
			"boot/vmlinuz": "MZkernel", "boot/guard.efi": "MZguard", "boot/loader.efi": "MZloader", "usr/bin/own": elf + "own", "usr/share/images/demo.tar": "archive",
			"usr/share/ketch/packages/kernel.json": `{"layer": "kernel", "own": {"path": "ketch", "version": "(devel)", "licence": "Apache-2.0"},
				"debian": [{"name": "loader", "version": "252", "architecture": "amd64", "sha256": "` + strings.Repeat("ab", 32) + `", "files": ["boot/loader.efi"]}],
				"go": [{"path": "usr/share/images/demo.tar:server", "go": "go1.26.1", "modules": [{"path": "example.org/m", "version": "v1.0.0"}]},
					{"path": "usr/bin/own", "go": "go1.26.1", "linked": [{"name": "odd", "version": "1", "architecture": "amd64", "licence": "not an expression"}, {"name": "libc6-dev", "version": "2.36", "architecture": "amd64", "licence": "LGPL-2.1-only"}]}],
				"modules": [{"path": "example.org/m", "version": "v1.0.0", "sum": "h1:x=", "sha256": {"LICENSE": "` + strings.Repeat("cd", 32) + `"}},
					{"path": "` + info.Deps[0].Path + `", "version": "` + info.Deps[0].Version + `", "licence": "BSD-3-Clause"}]}`,
		}},
	} {
		place := fmt.Sprintf("test.yaml:%d", i+1)
		layer.files.apply(t, merged, &tree.Origin{Image: layer.ref, Layer: 1, Place: place})
		s.Images = append(s.Images, Image{layer.ref, fmt.Sprintf("sha256:%064d", i)})
		db, err := ReadDatabase(merged, layer.ref, place)
		if err != nil {
			t.Fatal(err)
		}
		if (db != nil) != (i < 2) {
			t.Fatalf("ReadDatabase of %s = %+v", layer.ref, db)
		}
		if db != nil {
			s.Databases = append(s.Databases, db)
		}
	}
	if _, err := merged.MapOS([]string{"var"}, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMake(t *testing.T) {
	_, info := app(t)
	d, err := Make(source(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Encode(); err != nil {
		t.Fatal(err)
	}
	validate(t, d)
	byID, got := map[string]*Package{}, map[string]string{}
	for _, p := range d.Packages {
		byID[p.SPDXID] = p
		got[p.Name] = strings.TrimSpace(p.Kind() + " " + p.Version + " " + p.LicenceDeclared)
	}
	odd := d.ExtractedLicences[0]
	if odd.Text != "Odd terms." {
		t.Errorf("licence text %q", odd.Text)
	}
	for name, want := range map[string]string{
		"Test":                       "1.0 NOASSERTION",
		"tool":                       "deb 1:2-3+b1 GPL-2.0-or-later OR " + odd.ID,
		"libd":                       "deb 3 NOASSERTION",
		"loader":                     "deb 252 NOASSERTION",
		"libc6-dev":                  "deb 2.36 LGPL-2.1-only",
		"odd":                        "deb 1 NOASSERTION",
		"libx":                       "", // its only file was replaced
		"elsewhere":                  "",
		"linux-source-6.1":           "deb 6.1.1-1 GPL-2.0-only WITH Linux-syscall-note",
		"ketch":                      "golang (devel) Apache-2.0",
		"example.org/m":              "golang v1.0.0 NOASSERTION",
		info.Main.Path:               "golang " + info.Main.Version + " NOASSERTION",
		info.Deps[0].Path:            "golang " + info.Deps[0].Version + " BSD-3-Clause",
		"registry.example/debian:12": fmt.Sprintf("oci sha256:%064d NOASSERTION", 0),
		"oci:app":                    fmt.Sprintf("oci sha256:%064d NOASSERTION", 2),
	} {
		if got[name] != want {
			t.Errorf("package %s is %q; want %q", name, got[name], want)
		}
	}
	owners := map[string]string{}
	for name, id := range d.Owners() {
		owners[name] = byID[id].Name
	}
	want := map[string]string{
		"./usr/bin/tool": "tool", "./usr/bin/script": "registry.example/debian:12", "./usr/bin/stray": "registry.example/debian:12", "./usr/lib/libx.so": "oci:app", "./usr/lib/libd.so": "libd",
		"./usr/bin/app": info.Main.Path, "./usr/bin/own": "ketch", "./boot/guard.efi": "ketch", "./boot/loader.efi": "loader", "./boot/vmlinuz": "linux-source-6.1",
		"./usr/share/images/demo.tar": "ketch",
	}
	if diff := cmp.Diff(want, owners); diff != "" {
		t.Errorf("owners of files (-want +got):\n%s", diff)
	}
	checkLinks(t, d, info)
}

// checkLinks looks at what the programs are linked with.
func checkLinks(t *testing.T, d *Document, info *debug.BuildInfo) {
	t.Helper()
	name := map[string]string{}
	for _, p := range d.Packages {
		name[p.SPDXID] = p.Name + " " + p.Version
	}
	for _, f := range d.Files {
		name[f.SPDXID] = f.Name
	}
	links := map[string]bool{}
	for _, r := range d.Relationships {
		if r.Type == StaticLink {
			links[name[r.Element]+" "+name[r.Related]] = true
		}
	}
	for _, dep := range info.Deps {
		if want := "./usr/bin/app " + dep.Path + " " + dep.Version; !links[want] {
			t.Errorf("no link %q", want)
		}
	}
	for _, want := range []string{
		"./usr/bin/app stdlib " + strings.TrimPrefix(info.GoVersion, "go"),
		"./usr/share/images/demo.tar example.org/m v1.0.0", "./usr/share/images/demo.tar stdlib 1.26.1", "./usr/bin/own libc6-dev 2.36",
	} {
		if !links[want] {
			t.Errorf("no link %q", want)
		}
	}
}

func TestMakeTwice(t *testing.T) {
	var all [][]byte
	for range 2 {
		d, err := Make(source(t))
		if err != nil {
			t.Fatal(err)
		}
		data, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	if !bytes.Equal(all[0], all[1]) {
		t.Error("two bills of materials of the same tree differ")
	}
	s := source(t)
	s.Version = "1.1"
	other, err := Make(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Encode(); err != nil {
		t.Fatal(err)
	}
	first, err := Parse(all[0])
	if err != nil || first.DocumentNamespace == other.DocumentNamespace {
		t.Errorf("two documents share the namespace %s (%v)", other.DocumentNamespace, err)
	}
	validate(t, first)
}

// A file's digest is that of its content.
func TestDigests(t *testing.T) {
	d, err := Make(source(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Files {
		if f.Name == "./usr/bin/tool" {
			if want := fmt.Sprintf("%x", sha256.Sum256([]byte(elf+"tool"))); f.Checksums[1].Value != want {
				t.Errorf("SHA-256 of %s is %s; want %s", f.Name, f.Checksums[1].Value, want)
			}
		}
	}
}

// Names that give the same identifier get different ones.
func TestIdentifiers(t *testing.T) {
	merged := tree.New(tree.Policy{})
	files{"usr/a_b": elf, "usr/a-b": elf, "usr/a+b": elf}.apply(t, merged, &tree.Origin{Image: "i", Layer: 1})
	d, err := Make(Source{Name: "x", Version: "1", Released: released, Tree: merged, Images: []Image{{"i", "sha256:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Encode(); err != nil {
		t.Fatal(err)
	}
	validate(t, d)
	if len(d.Files) != 3 {
		t.Errorf("%d files; want 3", len(d.Files))
	}
}

func TestRefuses(t *testing.T) {
	for _, test := range []struct {
		files files
		want  string
	}{
		{files{"usr/share/ketch/packages/x.json": "nonsense"}, "usr/share/ketch/packages/x.json of layer 1 of i"},
		{files{"var/lib/dpkg/status": "nonsense"}, "packages of image i: read var/lib/dpkg/status: line 1"},
	} {
		merged := tree.New(tree.Policy{})
		test.files.apply(t, merged, &tree.Origin{Image: "i", Layer: 1})
		_, err := ReadDatabase(merged, "i", "")
		if err == nil {
			_, err = Make(Source{Name: "x", Version: "1", Tree: merged})
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v; want an error that says %q", test.files, err, test.want)
		}
	}
	for _, text := range []string{"", "{}", `{"spdxVersion": "SPDX-2.2"}`, "[]"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("Parse(%q) = no error", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"spdxVersion": "SPDX-2.3", "packages": [{"SPDXID": "a", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:deb/x"}]}],
		"files": [{"SPDXID": "f", "fileName": "./x"}], "relationships": [{"spdxElementId": "a", "relationshipType": "CONTAINS", "relatedSpdxElement": "f"}]}`))
	f.Add([]byte(`{"spdxVersion": "SPDX-2.3", "packages": [null], "files": [null], "relationships": [null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := Parse(data); err == nil {
			d.Summary()
			d.Owners()
		}
	})
}
