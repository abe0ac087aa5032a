package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/tree"
)

const goodDefinition = "name: Test\nversion: 1.0\nreleased: 2026-01-02T03:04:05Z\nimages: [oci:a]\n"

func writeDefinition(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadDefinition(t *testing.T) {
	dir := t.TempDir()
	base := writeDefinition(t, dir, "base.yaml", goodDefinition+"cmdline: [quiet]\ndrop: [var/log]\nslot-fill: 0.4\nsector-size: 4096\npolicy: {overwrites: error, usr-merge: replace, xattrs: [com.apple.*]}\nenroll: manual\n")
	path := writeDefinition(t, dir, "top.yaml", "extends: base.yaml\nplatform: qemu\nversion: 2.0-rc1\nimages:\n  - oci:b\ncmdline: [console=ttyS0]\npolicy:\n  usr-merge: follow\n  xattrs: [user.x]\n")
	got, err := LoadDefinition(path)
	if err != nil {
		t.Fatal(err)
	}
	want := &Definition{
		File: path, Name: "Test", Version: "2.0-rc1", Platform: "qemu", Released: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Images:  []ImageRef{{Ref: "oci:a", Dir: dir, File: base, Line: 4}, {Ref: "oci:b", Dir: dir, File: path, Line: 5}},
		Cmdline: []string{"quiet", "console=ttyS0"},
		Drop:    []Line{{Text: "var/log", File: base, Number: 6}},
		Policy:  tree.Policy{Links: tree.LinksFollow, Overwrites: tree.OverwritesError, Xattrs: []string{"com.apple.*", "user.x"}}, SlotFill: 0.4, SectorSize: 4096, Enroll: "manual",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("LoadDefinition (-want +got):\n%s", diff)
	}
}

func TestLoadDefinitionRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "is empty",
		goodDefinition + "---\na: b\n":   "more than one YAML document",
		goodDefinition + "colour: red\n": "colour",
		strings.Replace(goodDefinition, "name: Test\n", "", 1):             "name: missing",
		strings.Replace(goodDefinition, "1.0", "v1", 1):                    "version:",
		strings.Replace(goodDefinition, "1.0", "1_0", 1):                   "version:",
		strings.Replace(goodDefinition, "1.0", "1.0+3", 1):                 "version:",
		strings.Replace(goodDefinition, "1.0", strings.Repeat("1", 24), 1): "version:",
		strings.Replace(goodDefinition, "2026-", "1970-", 1):               "released:",
		strings.Replace(goodDefinition, "[oci:a]", "[]", 1):                "images: none",
		strings.Replace(goodDefinition, "[oci:a]", "[{a: b}]", 1):          ":4: images: want a reference",
		goodDefinition + "drop:\n- {a: b}\n":                               ":6: drop: want a path",
		goodDefinition + "drop: ['']\n":                                    ":5: drop: want a path",
		goodDefinition + "cmdline: [usrhash=0]\n":                          "the builder sets usrhash",
		goodDefinition + "cmdline: [ketch.dev]\n":                          "the builder sets ketch.dev",
		goodDefinition + "cmdline: ['a b']\n":                              "one parameter an entry",
		goodDefinition + "cmdline: ['']\n":                                 "empty parameter",
		goodDefinition + "policy: {usr-merge: maybe}\n":                    `:5: policy: usr-merge: "maybe": want one of ["error" "follow" "replace"]`,
		goodDefinition + "policy:\n\n  overwrites: [error]\n":              `:7: policy: overwrites: "": want one of ["allow" "error"]`,
		goodDefinition + "policy:\n  overwrites:\n":                        `:6: policy: overwrites: "": want`,
		goodDefinition + "policy:\n  overwrite: error\n":                   "overwrite",
		goodDefinition + "policy: {xattrs: ['[']}\n":                       ":5: policy: xattrs: want a pattern",
		goodDefinition + "policy:\n  xattrs:\n  - ''\n":                    ":7: policy: xattrs: want a pattern",
		goodDefinition + "policy: error\n":                                 ".yaml:5:9: ",
		goodDefinition + "usr-merge: error\n":                              "usr-merge",
		goodDefinition + "enroll: sometimes\n":                             ":5: enroll:",
		goodDefinition + "slot-fill: 1.5\n":                                "slot-fill:",
		goodDefinition + "slot-fill: .nan\n":                               "slot-fill: NaN",
		goodDefinition + "sector-size: 520\n":                              "sector-size: 520",
		goodDefinition + "sector-size: 4K\n":                               ".yaml:5:14: ",
		goodDefinition + "slot-fill: .inf\n":                               "slot-fill:",
		goodDefinition + "platform: 'q\"; touch x; #'\n":                   "platform:",
		goodDefinition + "platform: $(id)\n":                               "platform:",
		"name: [\n":                                                        ".yaml:2:1: ",
		goodDefinition + "extends: definition.yaml\n":                      "do they extend each other",
	} {
		path := writeDefinition(t, t.TempDir(), "definition.yaml", text)
		if _, err := LoadDefinition(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "definition.yaml") {
			t.Errorf("LoadDefinition(%q) = %v; want an error that names the file and says %q", text, err, want)
		}
	}
}

// An absolute path means itself.
func TestExtendsAbsolutePath(t *testing.T) {
	base := writeDefinition(t, t.TempDir(), "base.yaml", goodDefinition)
	path := writeDefinition(t, t.TempDir(), "top.yaml", "extends: "+base+"\nplatform: qemu\n")
	if d, err := LoadDefinition(path); err != nil || d.Platform != "qemu" {
		t.Errorf("LoadDefinition() = %v, %v; want one that extends %s", d, err, base)
	}
}

// The definitions that the project ships are good ones.
func TestShippedDefinitions(t *testing.T) {
	paths, err := filepath.Glob("../../images/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	for _, path := range paths {
		if _, err := LoadDefinition(path); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goodDefinition))
	f.Add([]byte("extends: [a]\nimages: {b: c}"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = parse(data) })
}
