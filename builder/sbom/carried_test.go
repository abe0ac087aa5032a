package sbom

import (
	"bytes"
	encoding "encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/internal/testkit"
)

// rpmDatabase is a database of RPM's, in its own form, with a package of which a file is
// there, one without files, and one whose file is not there.
func rpmDatabase(t *testing.T) string {
	t.Helper()
	write := func(to *bytes.Buffer, order encoding.ByteOrder, values ...any) {
		for _, v := range values {
			if err := encoding.Write(to, order, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	slots, blobs := new(bytes.Buffer), new(bytes.Buffer)
	write(slots, encoding.LittleEndian, []byte("RpmP"), [7]uint32{0, 1, 1, 4})
	for i, p := range []struct{ name, licence, dir, base string }{{"tool", "MIT", "/usr/bin/", "tool"}, {"old", "GPLv2+", "", ""}, {"gone", "MIT", "/usr/bin/", "gone"}} {
		const text, number, list = 6, 4, 8
		var index, data bytes.Buffer
		entries := uint32(0)
		add := func(tag, kind uint32, values ...any) {
			entries++
			write(&index, encoding.BigEndian, [4]uint32{tag, kind, uint32(data.Len()), 1})
			write(&data, encoding.BigEndian, values...)
		}
		if p.base != "" {
			add(1003, number, uint32(3)) // epoch
			add(1116, number, uint32(0))
			add(1117, list, []byte(p.base+"\x00"))
			add(1118, list, []byte(p.dir+"\x00"))
		}
		for tag, value := range map[uint32]string{1000: p.name, 1001: "1", 1002: "2", 1014: p.licence, 1022: "x86_64"} {
			add(tag, text, []byte(value+"\x00"))
		}
		at := uint32(4096+blobs.Len()) / 16
		length := 8 + index.Len() + data.Len()
		write(blobs, encoding.LittleEndian, []byte("BlbS"), [3]uint32{uint32(i + 1), 1, uint32(length)})
		write(blobs, encoding.BigEndian, [2]uint32{entries, uint32(data.Len())}, index.Bytes(), data.Bytes())
		blobs.Write(make([]byte, 16-blobs.Len()%16))
		write(slots, encoding.LittleEndian, []byte("Slot"), [3]uint32{uint32(i + 1), at, uint32(4096+blobs.Len())/16 - at})
	}
	for slots.Len() < 4096 {
		write(slots, encoding.LittleEndian, []byte("Slot"), [3]uint32{})
	}
	return slots.String() + blobs.String()
}

// TestCarriedImages looks into the images that an OS image carries.
func TestCarriedImages(t *testing.T) {
	binary, info := app(t)
	carry := func(name string, f files) string {
		archive, err := oci.Archive(name, "1", testkit.Tar(t, f), oci.Image{})
		if err != nil {
			t.Fatal(err)
		}
		return string(archive)
	}
	merged := tree.New(tree.Policy{})
	files{
		"usr/share/ketch/images/debian.tar": carry("registry.example/debian:1", files{
			"etc/os-release": "ID=debian\n", "usr/bin/tool": elf, "usr/bin/half": elf, "usr/bin/app": binary,
			"usr/share/doc/tool/copyright": copyright,
			"var/lib/dpkg/status": "Package: tool\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n" +
				"Package: half\nStatus: install ok half-configured\nVersion: 2\nArchitecture: amd64\n\n" +
				"Package: gone\nStatus: install ok installed\nVersion: 3\nArchitecture: amd64\n",
			"var/lib/dpkg/info/tool.list": "/usr/bin/tool\n", "var/lib/dpkg/info/half.list": "/usr/bin/half\n", "var/lib/dpkg/info/gone.list": "/usr/bin/gone\n",
		}),
		"usr/share/ketch/images/alpine.tar": carry("registry.example/alpine:1", files{
			"etc/os-release": "ID=alpine\n", "bin/busybox": elf,
			"lib/apk/db/installed":                "P:busybox\nV:1.37\nA:x86_64\nL:GPL-2.0-only\nF:bin\nR:busybox\n\nP:zlib\nV:1\nA:x86_64\nL:Zlib\nF:lib\nR:libz.so\n",
			"app/node_modules/@a/b/package.json":  `{"name": "@a/b", "version": "1.0.0", "license": "MIT"}`,
			"usr/lib/python/x.dist-info/METADATA": "Name: X_y\nVersion: 2\nLicense: a licence of our own\n",
		}),
		"usr/share/ketch/images/fedora.tar": carry("registry.example/fedora:1", files{"usr/lib/sysimage/rpm/rpmdb.sqlite": "SQLite"}),
		"usr/share/ketch/images/suse.tar": carry("registry.example/suse:1", files{
			"etc/os-release": "ID=\"opensuse-leap\"\n", "usr/bin/tool": elf, "usr/lib/sysimage/rpm/Packages.db": rpmDatabase(t),
		}),
		"usr/share/ketch/images/damaged.tar": "nonsense",
	}.apply(t, merged, &tree.Origin{Image: "i", Layer: 1})
	d, err := Make(Source{Name: "x", Version: "1", Released: released, Tree: merged, Images: []Image{{"i", "sha256:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Encode(); err != nil {
		t.Fatal(err)
	}
	validate(t, d)

	byID := map[string]*Package{}
	for _, p := range d.Packages {
		byID[p.SPDXID] = p
	}
	got := map[string][]string{}
	for _, r := range d.Relationships {
		from, to := byID[r.Element], byID[r.Related]
		if r.Type == Contains && from != nil && to != nil {
			got[from.Name] = append(got[from.Name], to.PURL()+" "+to.LicenceDeclared)
		}
	}
	for _, list := range got {
		slices.Sort(list)
	}
	debian := []string{
		"pkg:deb/debian/half@2?arch=amd64 NOASSERTION",
		"pkg:deb/debian/tool@1?arch=amd64 GPL-2.0-or-later OR " + d.ExtractedLicences[0].ID,
		"pkg:golang/stdlib@" + strings.TrimPrefix(info.GoVersion, "go") + " BSD-3-Clause",
	}
	for _, m := range linked(info) {
		debian = append(debian, golangURL(m.Path, m.Version)+" NOASSERTION")
	}
	slices.Sort(debian)
	want := map[string][]string{
		"registry.example/debian:1": debian,
		"registry.example/alpine:1": {
			"pkg:apk/alpine/busybox@1.37?arch=x86_64 GPL-2.0-only", "pkg:npm/%40a/b@1.0.0 MIT", "pkg:pypi/x-y@2 NOASSERTION",
		},
	}
	want["registry.example/suse:1"] = []string{"pkg:rpm/opensuse-leap/old@1-2?arch=x86_64 NOASSERTION", "pkg:rpm/opensuse-leap/tool@1-2?arch=x86_64&epoch=3 MIT"}
	for name, list := range want {
		if diff := cmp.Diff(list, got[name]); diff != "" {
			t.Errorf("%s contains, -want +got:\n%s", name, diff)
		}
	}
	comments := map[string]string{}
	for _, p := range d.Packages {
		comments[p.Name] = p.Comment + p.LicenceComments
	}
	for name, want := range map[string]string{
		"registry.example/fedora:1":          "its packages cannot be listed: read usr/lib/sysimage/rpm/rpmdb.sqlite: is no database of SQLite's",
		"usr/share/ketch/images/damaged.tar": "cannot be looked into: ",
		"old":                                "the package states: GPLv2+",
		"x-y":                                "the package states: a licence of our own",
	} {
		if !strings.Contains(comments[name], want) {
			t.Errorf("comment of %s: %q; want one with %q", name, comments[name], want)
		}
	}
	if summary := d.Summary(); !strings.Contains(summary, "1 Alpine packages, 2 RPM packages, 1 npm packages, 1 Python packages") {
		t.Errorf("summary %q", summary)
	}
}

// TestNamesThatAreNotText keeps two files apart whose names are not UTF-8.
func TestNamesThatAreNotText(t *testing.T) {
	merged := tree.New(tree.Policy{})
	want := []string{"./usr/a\xfe", "./usr/a\xff", `./usr/a\xff`}
	for _, name := range want {
		if err := merged.Put(name, tree.File([]byte(elf), 0o755, time.Unix(0, 0)), &tree.Origin{Image: "i"}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Make(Source{Name: "x", Version: "1", Released: released, Tree: merged, Images: []Image{{"i", "sha256:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(parsed.Owners())); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("owners of %q; want of %q", got, want)
	}
}

// TestStates lists a package by its state and by whether its files are there.
func TestStates(t *testing.T) {
	for state, want := range map[string]bool{
		"installed": true, "triggers-pending": true, "triggers-awaited": true, "half-configured": true, "unpacked": true,
		"config-files": false, "not-installed": false,
	} {
		for _, file := range []string{"usr/bin/there", "usr/bin/gone", "boot/unused"} {
			merged := tree.New(tree.Policy{})
			files{
				"usr/bin/there": elf, "boot/unused": "x",
				"var/lib/dpkg/status":      fmt.Sprintf("Package: p\nStatus: install ok %s\nVersion: 1\nArchitecture: all\n", state),
				"var/lib/dpkg/info/p.list": "/.\n/usr\n/" + file + "\n",
			}.apply(t, merged, &tree.Origin{Image: "i", Layer: 1})
			db, err := ReadDatabase(merged, "i", "")
			if err != nil {
				t.Fatal(err)
			}
			s := Source{Name: "x", Version: "1", Released: released, Tree: merged, Images: []Image{{"i", "sha256:1"}}}
			if db != nil {
				s.Databases = []*Database{db}
			}
			d, err := Make(s)
			if err != nil {
				t.Fatal(err)
			}
			listed := slices.ContainsFunc(d.Packages, func(p *Package) bool { return p.Kind() == "deb" })
			if listed != (want && file == "usr/bin/there") {
				t.Errorf("package %s with the file %s: listed %v", state, file, listed)
			}
		}
	}
}
