package sbom

import (
	"encoding/json"
	"testing"
)

func TestFileName(t *testing.T) {
	for path, want := range map[string]string{
		"usr/bin/ls": "usr/bin/ls", "usr/é": "usr/é", "a\xff": `a\xff`, "a\xfe": `a\xfe`, `a\xff`: `a\\xff`,
		"a\\b\xc3": `a\\b\xc3`, "\xed\xa0\x80": `\xed\xa0\x80`, "�": "�",
	} {
		if got := fileName(path); got != want {
			t.Errorf("fileName(%q) = %q; want %q", path, got, want)
		}
	}
}

func FuzzFileName(f *testing.F) {
	for _, path := range []string{"a\xff", `\x`, `\\`, "\\\xff", "\xc3\x28"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		data, err := json.Marshal(fileName(path))
		if err != nil {
			t.Fatal(err)
		}
		var name string
		if err := json.Unmarshal(data, &name); err != nil {
			t.Fatal(err)
		}
		if got := filePath(name); got != path {
			t.Errorf("%q became %q through %s", path, got, data)
		}
		filePath(path)
	})
}
