package language

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/tree"
)

// zipOf makes an archive of name, content, name, content….
func zipOf(t testing.TB, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func pom(group, name, version string) string {
	return "#Generated\ngroupId=" + group + "\r\nartifactId = " + name + "\nversion=" + version + "\n"
}

func TestFind(t *testing.T) {
	inner := zipOf(t, "META-INF/maven/org.x/inner/pom.properties", pom("org.x", "inner", "2.0"))
	files := map[string]string{
		"app/node_modules/left-pad/package.json":                               `{"name": "left-pad", "version": "1.3.0", "license": "WTFPL"}`,
		"app/node_modules/@types/node/package.json":                            `{"name": "@types/node", "version": "22.1.0", "license": {"type": "MIT", "url": "x"}}`,
		"app/node_modules/a/node_modules/b/package.json":                       `{"name": "b", "version": "1.0.0"}`,
		"app/node_modules/a/test/package.json":                                 `{"name": "test-data", "version": "1.0.0"}`,
		"app/node_modules/broken/package.json":                                 `{"name": `,
		"app/node_modules/template/package.json":                               `{"name": "{{x y}}", "version": "1"}`,
		"app/package.json":                                                     `{"name": "app", "version": "1.0.0"}`,
		"usr/lib/python3/site-packages/Typing_Extensions-4.dist-info/METADATA": "Metadata-Version: 2.4\nName: Typing_Extensions\nVersion: 4.0\nLicense: PSF License\nLicense-Expression: PSF-2.0\nLicense-File: LICENSE\n\nName: body\n",
		"usr/lib/python3/old.egg-info/PKG-INFO":                                "Metadata-Version: 1.0\r\nName: old\r\nVersion: 0.1\r\nLicense: BSD\r\n",
		"usr/lib/python3/flat-1.0.egg-info":                                    "Metadata-Version: 1.0\nName: flat\nVersion: 1.0\n",
		"usr/lib/python3/none.dist-info/METADATA":                              "Metadata-Version: 1.0\n",
		"opt/app.jar": zipOf(t, "META-INF/maven/org.x/app/pom.properties", pom("org.x", "app", "1.0"),
			"BOOT-INF/lib/inner.jar", inner, "x/pom.properties", pom("org.x", "elsewhere", "1")),
		"opt/damaged.jar": "PK\x03\x04",
		"opt/twice.jar":   inner,
	}
	merged := tree.New(tree.Policy{})
	for name, content := range files {
		if err := merged.Put(name, tree.File([]byte(content), 0o644, time.Unix(0, 0)), nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Find(merged)
	if err != nil {
		t.Fatal(err)
	}
	want := []Package{
		{"maven", "org.x", "app", "1.0", ""},
		{"maven", "org.x", "inner", "2.0", ""},
		{"npm", "", "b", "1.0.0", ""},
		{"npm", "", "left-pad", "1.3.0", "WTFPL"},
		{"npm", "@types", "node", "22.1.0", "MIT"},
		{"pypi", "", "flat", "1.0", ""},
		{"pypi", "", "old", "0.1", "BSD"},
		{"pypi", "", "typing-extensions", "4.0", "PSF-2.0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Find, -want +got:\n%s", diff)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"name": "@a/b", "version": "1", "license": {"type": "MIT"}}`))
	f.Add([]byte("Name: x\nVersion: 1\n"))
	f.Add([]byte(zipOf(f, "META-INF/maven/a/b/pom.properties", pom("a", "b", "1"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range java(bytes.NewReader(data), int64(len(data)), 1) {
			if !p.good() {
				t.Errorf("java(%q) = %+v", data, p)
			}
		}
		for _, parse := range []func([]byte) (Package, bool){npm, python} {
			if p, ok := parse(data); ok && (p.Name == "" || strings.ContainsAny(p.Version, " \n")) {
				t.Errorf("parse(%q) = %+v", data, p)
			}
		}
	})
}
