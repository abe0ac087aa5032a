package oslayers

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/oslayers/apt"
	"github.com/ketch-os/ketch/builder/oslayers/gocmd"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/internal/testkit"
)

// members describes the files of a package: a content, "→target" for a link, or
// "=path" for a copy of a file of this machine.
type members map[string]string

// packageOf builds a Debian package into the cache.
func packageOf(t *testing.T, cache, name, architecture string, files members) apt.File {
	t.Helper()
	root := t.TempDir()
	files["DEBIAN/control"] = fmt.Sprintf(
		"Package: %s\nVersion: 1.0-1\nArchitecture: %s\nMaintainer: Nobody <nobody@example.org>\nDescription: test\n", name, architecture)
	for name, content := range files {
		place := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, link := strings.CutPrefix(content, "→"); link {
			if err := os.Symlink(target, place); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := os.FileMode(0o644)
		if source, copied := strings.CutPrefix(content, "="); copied {
			binary, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			content, mode = string(binary), 0o755
		}
		if err := os.WriteFile(place, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(cache, name+"_1.0-1_"+architecture+".deb")
	build := exec.Command(testkit.Tool(t, "dpkg-deb"), "--root-owner-group", "-Znone", "--build", root, file)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, output)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return apt.File{Package: name, Name: filepath.Base(file), SHA256: fmt.Sprintf("%x", sha256.Sum256(content))}
}

// apply runs the step over packages that are in the cache.
func (d *debian) try(t *testing.T, cache string, files ...apt.File) (*layer, error) {
	t.Helper()
	d.files = files
	for _, f := range files {
		d.Packages = append(d.Packages, f.Package)
	}
	l := newLayer(&definition{name: "test"})
	return l, d.apply(t.Context(), &build{apt: apt.Apt{Cache: cache}}, l)
}

// libraries maps the paths that mke2fs of this machine is linked with to copies
// of the files, versioned names and links to them as Debian has them.
func libraries(t *testing.T) members {
	t.Helper()
	output, err := exec.Command(testkit.Tool(t, "ldd"), testkit.Tool(t, "mke2fs")).Output()
	if err != nil {
		t.Fatal(err)
	}
	files := members{"usr/share/doc/libs/copyright": "free\n", "lib/x86_64-linux-gnu/libunused.so.1": "unused\n"}
	for _, word := range strings.Fields(string(output)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		real, err := filepath.EvalSymlinks(word)
		if err != nil {
			t.Fatal(err)
		}
		if base := path.Base(real); base != path.Base(word) {
			files["lib/x86_64-linux-gnu/"+base] = "=" + real
			files[strings.TrimPrefix(word, "/")] = "→" + base
		} else if strings.HasPrefix(word, "/lib64/") {
			files[strings.TrimPrefix(word, "/")] = "→/lib/x86_64-linux-gnu/" + base
			files["lib/x86_64-linux-gnu/"+base] = "=" + real
		} else {
			files[strings.TrimPrefix(word, "/")] = "=" + real
		}
	}
	return files
}

func TestDebian(t *testing.T) {
	cache := t.TempDir()
	tool := packageOf(t, cache, "tool", "amd64", members{
		"sbin/mke2fs":                  "=" + testkit.Tool(t, "mke2fs"),
		"sbin/mkfs.ext4":               "→mke2fs",
		"sbin/e2scrub":                 "#!/bin/bash\n",
		"etc/mke2fs.conf":              "[defaults]\n",
		"usr/share/doc/tool/copyright": "free\n",
		"usr/share/zone/a":             "a",
		"usr/share/zone/right/a":       "a",
	})
	libs := packageOf(t, cache, "libs", "amd64", libraries(t))
	certs := packageOf(t, cache, "certs", "all", members{
		"usr/share/certs/b.crt":         "B",
		"usr/share/certs/a.crt":         "A\n",
		"usr/share/certs/README":        "?",
		"usr/share/doc/certs/copyright": "free\n",
		"usr/lib/boot/stub":             "stub",
	})
	d := &debian{
		Keep:        []string{"usr/sbin/mkfs.*", "usr/share/ketch/etc/mke2fs.conf", "usr/share/zone/"},
		Drop:        []string{"usr/share/zone/right/"},
		Place:       map[string]string{"boot/stub": "usr/lib/boot/stub"},
		Concatenate: map[string]string{"usr/share/all.crt": "usr/share/certs/*.crt"},
	}
	l, err := d.try(t, cache, tool, libs, certs)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"usr/sbin/mkfs.ext4", "usr/sbin/mke2fs", "usr/share/ketch/etc/mke2fs.conf", "usr/share/zone/a", "boot/stub",
		"usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libext2fs.so.2",
		"usr/share/doc/tool/copyright", "usr/share/doc/libs/copyright", "usr/share/doc/certs/copyright",
	} {
		if l.files.Lookup(name) == nil {
			t.Errorf("the layer has no %s", name)
		}
	}
	for _, name := range []string{"usr/sbin/e2scrub", "usr/share/zone/right/a", "usr/lib/x86_64-linux-gnu/libunused.so.1", "usr/lib/boot/stub"} {
		if l.files.Lookup(name) != nil {
			t.Errorf("the layer has %s", name)
		}
	}
	if got := contentOf(t, l, "usr/share/all.crt"); got != "A\nB\n" {
		t.Errorf("concatenated: %q; want %q", got, "A\nB\n")
	}
	if got, want := l.record.debianLabel(), "tool=1.0-1 libs=1.0-1 certs=1.0-1"; got != want {
		t.Errorf("label %q; want %q", got, want)
	}
	if got, want := l.record.Debian[2].Files, []string{"boot/stub", "usr/share/all.crt", "usr/share/doc/certs/copyright"}; !slices.Equal(got, want) {
		t.Errorf("certs gave %q; want %q", got, want)
	}
	checkRuns(t, l)
}

func contentOf(t *testing.T, l *layer, name string) string {
	t.Helper()
	content, err := l.files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// checkRuns runs the layer's mke2fs with nothing but the layer's libraries.
func checkRuns(t *testing.T, l *layer) {
	t.Helper()
	root := t.TempDir()
	untar := exec.Command(testkit.Tool(t, "tar"), "-xC", root)
	in, err := untar.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := untar.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.files.WriteLayer(in); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := untar.Wait(); err != nil {
		t.Fatal(err)
	}
	libs := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	run := exec.Command(filepath.Join(libs, "ld-linux-x86-64.so.2"), "--inhibit-cache", "--library-path", libs, "--list",
		filepath.Join(root, "usr/sbin/mkfs.ext4"))
	output, err := run.CombinedOutput()
	if err != nil || strings.Contains(string(output), "not found") {
		t.Fatalf("ld.so: %v\n%s", err, output)
	}
	for line := range strings.Lines(string(output)) {
		if _, place, found := strings.Cut(line, "=> "); found && !strings.HasPrefix(place, root) {
			t.Errorf("a library comes from outside the layer: %s", line)
		}
	}
}

func TestDebianErrors(t *testing.T) {
	for _, test := range []struct {
		name  string
		d     debian
		files members
		want  string
	}{
		{"pattern without a match", debian{Keep: []string{"usr/bin/x*"}}, members{}, "keep usr/bin/x*: no package has anything"},
		{"bad pattern", debian{Keep: []string{"usr/[a"}}, members{"usr/a": ""}, "pattern usr/[a"},
		{"missing library", debian{Keep: []string{"usr/sbin/mke2fs"}}, members{"sbin/mke2fs": "=/sbin/mke2fs"}, "resolve libraries of usr/sbin/mke2fs: no package has /lib64/ld-linux-x86-64.so.2"},
		{"link to nowhere", debian{Keep: []string{"usr/bin/a"}}, members{"bin/a": "→/usr/bin/gone"}, "keep usr/bin/gone: no package has it"},
		{"links in a circle", debian{Keep: []string{"usr/a"}}, members{"usr/a": "→b", "usr/b": "→a"}, "more than 40 links"},
		{"nothing to place", debian{Place: map[string]string{"boot/x": "usr/x"}}, members{}, "place boot/x: no package has usr/x"},
		{"no copyright", debian{Keep: []string{"usr/a"}}, members{"usr/a": "", "usr/share/doc/p/copyright": "→gone"}, "usr/share/doc/p/gone"},
		{"outside usr", debian{Keep: []string{"opt/a"}}, members{"opt/a": ""}, `"opt/a": it is not a clean path`},
		{"two of one name", debian{Keep: []string{"usr/bin/a"}}, members{"bin/a": "1", "usr/bin/a": "2"}, "./usr/bin/a: the packages have it twice"},
		{"nothing used", debian{}, members{"usr/a": ""}, "package p gives nothing to the layer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cache := t.TempDir()
			if _, ok := test.files["usr/share/doc/p/copyright"]; !ok {
				test.files["usr/share/doc/p/copyright"] = "free\n"
			}
			_, err := test.d.try(t, cache, packageOf(t, cache, "p", "amd64", test.files))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("apply = %v; want an error with %q", err, test.want)
			}
		})
	}
	cache := t.TempDir()
	d := debian{}
	if _, err := d.try(t, cache, packageOf(t, cache, "p", "arm64", members{})); err == nil || !strings.Contains(err.Error(), "architecture is arm64") {
		t.Errorf("apply of an arm64 package = %v", err)
	}
}

func TestRecord(t *testing.T) {
	l := newLayer(&definition{name: "test"})
	l.record.Debian = []inventory.Debian{{Name: "b", Version: "2", Files: []string{"usr/b"}}, {Name: "a", Version: "1", Source: "s"}}
	if err := (recorded{}).apply(t.Context(), &build{module: "../..", compiler: &gocmd.Compiler{Module: "../.."}}, l); err != nil {
		t.Fatal(err)
	}
	got, err := inventory.Parse([]byte(contentOf(t, l, "usr/share/ketch/packages/test.json")))
	if err != nil {
		t.Fatal(err)
	}
	want := &inventory.Layer{
		Layer:  "test",
		Own:    &inventory.Module{ModuleVersion: inventory.ModuleVersion{Path: "github.com/ketch-os/ketch", Version: "(devel)"}, Licence: "Apache-2.0"},
		Debian: []inventory.Debian{{Name: "a", Version: "1", Source: "s"}, {Name: "b", Version: "2", Files: []string{"usr/b"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if want := "a=1 b=2"; l.record.debianLabel() != want {
		t.Errorf("label %q; want %q", l.record.debianLabel(), want)
	}
}
