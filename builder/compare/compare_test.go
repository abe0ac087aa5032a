package compare

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/update/release"
)

// entry is a file of a usr in the tests.
func entry(mode uint32, content string) *erofs.Inode {
	i := &erofs.Inode{Mode: mode, Mtime: time.Unix(1, 0), Size: int64(len(content))}
	switch mode & typeMask {
	case typeRegular:
		i.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	case typeSymlink:
		i.Target, i.Size = content, 0
	default:
		i.Size = 0
	}
	return i
}

func regular(content string) *erofs.Inode { return entry(typeRegular|0o644, content) }

// usr is a side that has nothing but these files.
func usr(t *testing.T, files map[string]*erofs.Inode) *side {
	t.Helper()
	root := entry(0o040755, "")
	root.Children = map[string]*erofs.Inode{}
	for name, i := range files {
		dir := root
		parts := strings.Split(name, "/")
		for _, part := range parts[:len(parts)-1] {
			if dir.Children[part] == nil {
				dir.Children[part] = entry(0o040755, "")
				dir.Children[part].Children = map[string]*erofs.Inode{}
			}
			dir = dir.Children[part]
		}
		dir.Children[parts[len(parts)-1]] = i
	}
	plan, err := erofs.Plan(root, erofs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := plan.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	s := &side{path: "test.raw", info: &release.Info{Kernel: release.Kernel{Source: "linux-source-6.1 6.1.1"}}, slot: &release.Slot{
		Usr: io.NewSectionReader(bytes.NewReader(out.Bytes()), 0, int64(out.Len())), UsrSize: plan.Size(),
	}}
	if s.usr, err = s.slot.FS(); err != nil {
		t.Fatal(err)
	}
	if err := s.list(); err != nil {
		t.Fatal(err)
	}
	return s
}

// counter counts the reads of a usr.
type counter struct {
	*io.SectionReader
	reads int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.SectionReader.ReadAt(p, off)
}

// To look every name up from the root again reads more for each, the more there are.
func TestCompareIsLinear(t *testing.T) {
	perFile := func(n int) float64 {
		files := map[string]*erofs.Inode{}
		for i := range n {
			files[fmt.Sprintf("m/f%07d", i)] = regular("x")
			files[fmt.Sprintf("m/l%07d", i)] = entry(typeSymlink|0o777, "f0000000")
		}
		s := usr(t, files)
		c := &counter{SectionReader: s.slot.Usr}
		var err error
		if s.usr, err = erofs.Open(c, s.slot.UsrSize); err != nil {
			t.Fatal(err)
		}
		if err := s.list(); err != nil {
			t.Fatal(err)
		}
		if changed, err := s.compareFiles(s); len(changed) > 0 || err != nil {
			t.Fatalf("compareFiles() with itself = %d files, %v", len(changed), err)
		}
		return float64(c.reads) / float64(n)
	}
	few, many := perFile(100), perFile(10000)
	if many > few*1.2 {
		t.Errorf("%.1f reads for each of 100 files, %.1f for each of 10,000", few, many)
	}
}

func TestCompareFiles(t *testing.T) {
	with := func(change func(*erofs.Inode)) *erofs.Inode {
		i := regular("x")
		change(i)
		return i
	}
	long := strings.Repeat("a", 1<<20)
	for _, test := range []struct {
		name string
		a, b *erofs.Inode
		want []File
	}{
		{"nothing", regular("x"), regular("x"), nil},
		{"time", regular("x"), with(func(i *erofs.Inode) { i.Mtime = time.Unix(99, 0) }), nil},
		{"content", regular("x"), regular("y"), []File{{Changed, "usr/f", []Value{{Name: "content"}}, 1, 1}}},
		{"last byte", regular(long + "a"), regular(long + "b"), []File{{Changed, "usr/f", []Value{{Name: "content"}}, 1<<20 + 1, 1<<20 + 1}}},
		{"size", regular(""), regular("y"), []File{{Changed, "usr/f", []Value{{Name: "content"}}, 0, 1}}},
		{"mode", regular("x"), with(func(i *erofs.Inode) { i.Mode |= 0o4000 }), []File{{Changed, "usr/f", []Value{{"mode", "0644", "4644"}}, 1, 1}}},
		{"owner", regular("x"), with(func(i *erofs.Inode) { i.UID, i.GID = 7, 70000 }), []File{{Changed, "usr/f", []Value{{"owner", "0:0", "7:70000"}}, 1, 1}}},
		{"xattrs", regular("x"), with(func(i *erofs.Inode) { i.Xattrs = map[string][]byte{"user.b": {2}, "user.a": {1}} }),
			[]File{{Changed, "usr/f", []Value{{"xattrs", "", "user.a=01 user.b=02"}}, 1, 1}}},
		{"target", entry(typeSymlink|0o777, "a"), entry(typeSymlink|0o777, "b"), []File{{Changed, "usr/f", []Value{{"target", "a", "b"}}, 0, 0}}},
		{"type", regular("x"), entry(typeSymlink|0o777, "b"), []File{{Changed, "usr/f", []Value{{"type", "file", "symbolic link"}}, 1, 0}}},
		{"device", func() *erofs.Inode { i := entry(0o020600, ""); i.Rdev = 0x105; return i }(), func() *erofs.Inode { i := entry(0o020600, ""); i.Rdev = 0x103; return i }(),
			[]File{{Changed, "usr/f", []Value{{"device", "261", "259"}}, 0, 0}}},
		{"added", nil, regular("xy"), []File{{Added, "usr/f", nil, 0, 2}}},
		{"removed", regular("xy"), nil, []File{{Removed, "usr/f", nil, 2, 0}}},
	} {
		of := func(i *erofs.Inode) *side {
			if i == nil {
				return usr(t, nil)
			}
			return usr(t, map[string]*erofs.Inode{"f": i})
		}
		got, err := of(test.a).compareFiles(of(test.b))
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("compareFiles, %s: %v (-want +got):\n%s", test.name, err, diff)
		}
	}
}

// An image from before there were bills of materials has inventories: both are
// then compared by these.
func TestComparePackagesWithoutSBOM(t *testing.T) {
	inventory := func(version, module string) *erofs.Inode {
		return regular(fmt.Sprintf(`{"layer": "base", "debian": [{"name": "libc6", "version": %q, "sha256": ""}, {"name": "same", "version": "1", "sha256": ""}],
			"go": [{"path": "usr/bin/x", "package": "x", "go": "go1.26.1", "libraries": ["libc.a"], "modules": [{"path": %q, "version": "v1"}]}]}`, version, module))
	}
	const name, bill = "share/ketch/packages/base.json", "share/ketch/sbom.spdx.json"
	a := usr(t, map[string]*erofs.Inode{name: inventory("2.36-9", "example.org/a")})
	b := usr(t, map[string]*erofs.Inode{name: inventory("2.36-10", "example.org/b"), bill: regular(`{"spdxVersion": "SPDX-2.3"}`)})
	got, basis, err := a.comparePackages(b)
	want := []Package{
		{Change: Changed, Kind: "deb", Name: "libc6", A: []string{"2.36-9"}, B: []string{"2.36-10"}},
		{Change: Removed, Kind: "golang", Name: "example.org/a", A: []string{"v1"}},
		{Change: Added, Kind: "golang", Name: "example.org/b", B: []string{"v1"}},
	}
	if diff := cmp.Diff(want, got); err != nil || basis != "inventories" || diff != "" {
		t.Errorf("comparePackages by %s: %v (-want +got):\n%s", basis, err, diff)
	}
}

const document = `{"spdxVersion": "SPDX-2.3", "packages": [
	{"SPDXID": "d", "name": "tzdata", "versionInfo": "%[1]s", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:deb/debian/tzdata"}]},
	{"SPDXID": "g1", "name": "m", "versionInfo": "v1", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:golang/m"}]},
	{"SPDXID": "g2", "name": "m", "versionInfo": "%[2]s", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:golang/m"}]},
	{"SPDXID": "k", "name": "ketch", "versionInfo": "(devel)", "packageVerificationCode": {"packageVerificationCodeValue": "%[3]s"},
		"externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:golang/ketch"}]}],
	"files": [{"SPDXID": "f", "fileName": "./usr/bin/own"}],
	"relationships": [{"spdxElementId": "k", "relationshipType": "CONTAINS", "relatedSpdxElement": "f"}]}`

// Sizes: of programs by the bill of materials, of other files by the
// inventories, each file once.
func TestComparePackages(t *testing.T) {
	system := func(version, module, code, program, zones string) *side {
		twin := regular(zones)
		return usr(t, map[string]*erofs.Inode{
			"share/ketch/sbom.spdx.json": regular(fmt.Sprintf(document, version, module, code)),
			"share/ketch/packages/base.json": regular(`{"layer": "base", "debian": [{"name": "tzdata", "version": "1", "sha256": "",
				"files": ["usr/share/zoneinfo/A", "usr/share/zoneinfo/B", "usr/share/gone"]}]}`),
			"bin/own": regular(program), "share/zoneinfo/A": twin, "share/zoneinfo/B": twin,
		})
	}
	got, basis, err := system("2026a", "v1.5", "11", "own", "zone").comparePackages(system("2026b", "v2", "22", "own, longer", "zones"))
	want := []Package{
		{Changed, "deb", "tzdata", []string{"2026a"}, []string{"2026b"}, 4, 5},
		{Rebuilt, "golang", "ketch", []string{"(devel)"}, []string{"(devel)"}, 3, 11},
		{Changed, "golang", "m", []string{"v1", "v1.5"}, []string{"v1", "v2"}, 0, 0},
	}
	if diff := cmp.Diff(want, got); err != nil || basis != "sbom" || diff != "" {
		t.Errorf("comparePackages by %s: %v (-want +got):\n%s", basis, err, diff)
	}
}

func TestCorruptBills(t *testing.T) {
	good := usr(t, nil)
	for _, name := range []string{"share/ketch/sbom.spdx.json", "share/ketch/packages/x.json"} {
		if _, _, err := usr(t, map[string]*erofs.Inode{name: regular("nonsense")}).comparePackages(good); err == nil || !strings.Contains(err.Error(), "test.raw") {
			t.Errorf("comparePackages with a corrupt %s = %v; want an error that names the image", name, err)
		}
	}
}
