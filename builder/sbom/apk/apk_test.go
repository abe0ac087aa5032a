package apk

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const database = `C:Q1abc=
P:zlib
V:1.3.1-r2
A:x86_64
T:A compression library
L:Zlib
o:zlib
F:usr
F:usr/lib
R:libz.so.1
a:0:0:777
R:libz.so.1.3.1
Z:Q1def=

P:busybox
V:1.37.0-r8
A:x86_64
L:GPL-2.0-only
F:bin
R:busybox
`

type files struct{ fstest.MapFS }

func (f files) ReadFile(name string) ([]byte, error) { return fs.ReadFile(f.MapFS, name) }

func TestRead(t *testing.T) {
	want := []Package{
		{Name: "busybox", Version: "1.37.0-r8", Architecture: "x86_64", Licence: "GPL-2.0-only", Files: []string{"bin/busybox"}},
		{Name: "zlib", Version: "1.3.1-r2", Architecture: "x86_64", Origin: "zlib", Licence: "Zlib", Files: []string{"usr/lib/libz.so.1", "usr/lib/libz.so.1.3.1"}},
	}
	for _, place := range databases {
		got, err := Read(files{fstest.MapFS{place: {Data: []byte(database)}}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Read with %s, -want +got:\n%s", place, diff)
		}
	}
	if got, err := Read(files{}); got != nil || err != nil {
		t.Errorf("Read of nothing = %v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"nonsense", "P:a\n\n", "V:1\n", "P:a b\nV:1\n", "PP:a"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("Parse(%q): no error", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(database)
	f.Fuzz(func(t *testing.T, text string) {
		packages, err := Parse(text)
		if err != nil {
			return
		}
		for _, p := range packages {
			if p.Name == "" || p.Version == "" || strings.Contains(p.Name, "/") {
				t.Errorf("Parse(%q) has a package %+v", text, p)
			}
		}
	})
}
