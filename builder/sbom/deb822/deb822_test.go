package deb822

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for in, want := range map[string][]Paragraph{
		"":                            nil,
		"\n\n \n":                     nil,
		"A: 1\n":                      {{"a": "1"}},
		"A:1":                         {{"a": "1"}},
		"A: 1\r\nB:\r\n x\r\n":        {{"a": "1", "b": "\nx"}},
		"A: 1\n\n\nB: 2\n":            {{"a": "1"}, {"b": "2"}},
		"# no\nA: 1\n# no\n more\n":   {{"a": "1\nmore"}},
		"License: MIT\n a\n .\n  b\n": {{"license": "MIT\na\n\n b"}},
		"A: x: y\n":                   {{"a": "x: y"}},
	} {
		got, err := Parse(in)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Parse(%q): %v (-want +got):\n%s", in, err, diff)
		}
	}
	for in, want := range map[string]string{
		" x\n":         "line 1: a continuation of nothing",
		"A: 1\nb\n":    `line 2: "b" is not a field`,
		": 1\n":        "is not a field",
		"A b: 1\n":     "is not a field",
		"A: 1\na: 2\n": "line 2: field a stands twice",
	} {
		if _, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v; want an error that says %q", in, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Package: a\nVersion: 1\n\nPackage: b\n  c\n .\n")
	f.Fuzz(func(t *testing.T, text string) {
		paragraphs, err := Parse(text)
		if err != nil {
			return
		}
		for _, p := range paragraphs {
			if len(p) == 0 {
				t.Fatalf("Parse(%q): a paragraph without fields", text)
			}
			for name := range p {
				if name == "" || name != strings.ToLower(name) {
					t.Fatalf("Parse(%q): a field called %q", text, name)
				}
			}
		}
	})
}
