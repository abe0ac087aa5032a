package dpkg

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// files is a tree for tests: path → content.
type files map[string]string

func (f files) ReadFile(name string) ([]byte, error) {
	content, ok := f[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(content), nil
}

func (f files) Names(dir string) []string {
	var names []string
	for name := range maps.Keys(f) {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

func TestRead(t *testing.T) {
	got, err := Read(files{
		statusFile: "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.0-3\nConffiles:\n /etc/tool 0123\n\n" +
			"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n" +
			"Package: libs\nStatus: hold ok installed\nArchitecture: amd64\nMulti-Arch: same\nSource: tool (2.0-3)\nVersion: 4\n",
		infoDir + "/tool.list":             "/.\n/usr\n/usr/bin\n/usr/bin/a b\n",
		infoDir + "/libs:amd64.list":       "/usr/lib/libs.so\n",
		statusDir + "/base-files":          "Package: base-files\nVersion: 12\nArchitecture: all\n",
		statusDir + "/base-files.md5sums":  "d41d8cd98f00b204e9800998ecf8427e  usr/share/a b\n",
		statusDir + "/netbase":             "Package: netbase\nVersion: 6\nArchitecture: all\n",
		"var/lib/dpkg/status-old":          "nonsense",
		statusDir + "/.directory-metadata": "nonsense",
	})
	want := []Package{
		{"base-files", "12", "all", "", []string{"usr/share/a b"}, true},
		{"libs", "4", "amd64", "tool (2.0-3)", []string{"usr/lib/libs.so"}, true},
		{"netbase", "6", "all", "", nil, false},
		{"tool", "1:2.0-3", "amd64", "", []string{"usr", "usr/bin", "usr/bin/a b"}, true},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Read: %v (-want +got):\n%s", err, diff)
	}
	if got, err := Read(files{}); len(got) != 0 || err != nil {
		t.Errorf("Read of a tree without a database = %v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct {
		tree files
		want string
	}{
		{files{statusFile: "nonsense"}, "read var/lib/dpkg/status: line 1"},
		{files{statusFile: "Status: install ok installed\nPackage: a\n"}, `package "a" has the version ""`},
		{files{statusFile: "Status: install ok installed\nPackage: ../a\nVersion: 1\n"}, `package "../a"`},
		{files{statusDir + "/a": "Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\n"}, "status.d/a: 2 paragraphs"},
		{files{statusDir + "/a": ""}, "status.d/a: 0 paragraphs"},
	} {
		if _, err := Read(test.tree); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Read(%v) = %v; want an error that says %q", test.tree, err, test.want)
		}
	}
}

// host is the machine that the test runs on.
type host struct{}

func (host) ReadFile(name string) ([]byte, error) { return os.ReadFile("/" + name) }
func (host) Names(dir string) []string {
	entries, _ := os.ReadDir("/" + dir)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestReadAgreesWithDpkgQuery(t *testing.T) {
	out, err := exec.Command(testkit.Tool(t, "dpkg-query"), "-W", "-f", `${db:Status-Status} ${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n`).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for line := range strings.Lines(string(out)) {
		if rest, installed := strings.CutPrefix(line, "installed "); installed {
			want = append(want, strings.TrimSpace(rest))
		}
	}
	packages, err := Read(host{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		source, version := p.SourcePackage()
		got = append(got, strings.Join([]string{p.Name, p.Version, p.Architecture, source, version}, " "))
		if !p.FilesRecorded || len(p.Files) == 0 {
			t.Errorf("Read: %s has no files", p.Name)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
		t.Errorf("Read (-dpkg-query +ours):\n%s", diff)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("Package: a\nStatus: install ok installed\nVersion: 1\nSource: b (2)\n\nPackage: c\n")
	f.Fuzz(func(t *testing.T, text string) {
		packages, err := ParseStatus(text)
		for _, p := range packages {
			if err != nil || p.Name == "" || p.Version == "" {
				t.Fatalf("ParseStatus(%q) = %+v, %v", text, p, err)
			}
			p.SourcePackage()
		}
	})
}

func FuzzFiles(f *testing.F) {
	f.Add("/.\n/usr\n/usr/bin/a\n", "d41d8cd98f00b204e9800998ecf8427e  usr/share/a\n")
	f.Fuzz(func(t *testing.T, list, sums string) {
		for _, name := range slices.Concat(parseList(list), parseSums(sums)) {
			if name == "" {
				t.Fatalf("a file without a name in %q, %q", list, sums)
			}
		}
	})
}
