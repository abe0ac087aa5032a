package oslayers

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestParse(t *testing.T) {
	d, err := parse("layer.yaml", []byte(`
description: everything
version: {module: example.org/m}
labels: {a: b}
kernel: {command: scripts/kernel, files: {boot/vmlinuz: vmlinuz}}
debian: {packages: [p], keep: [usr/bin/p], drop: [usr/x/], place: {boot/a: usr/b}, concatenate: {usr/c: usr/d/*}}
go:
  - package: example.org/m/cmd
    path: usr/bin/cmd
    tags: &tags [one, two]
    stamp: {main.version: example.org/m}
    keep: true
    libraries: [libc.a]
  - {package: ./here, path: usr/bin/here, tags: *tags}
busybox: {path: usr/bin/busybox, links: usr/bin, commands: [example.org/m/ls], aliases: {dir: ls}, tags: [small]}
images: [{path: usr/i.tar, name: r.example/i:1, program: {package: ./i, path: i}, user: "1", ports: [80/tcp]}]
copy: {usr/f: f}
dirs: {usr/d: 0700}
links: {usr/l: d}
modes: {usr/f: 0o4755}
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two"}, d.Go[1].Tags); diff != "" {
		t.Errorf("tags through an anchor (-want +got):\n%s", diff)
	}
	if d.Dirs["usr/d"] != 0o700 || d.Modes["usr/f"] != 0o4755 {
		t.Errorf("modes = %o, %o; want 700, 4755", d.Dirs["usr/d"], d.Modes["usr/f"])
	}
	var names []string
	for _, s := range d.steps() {
		names = append(names, s.name)
	}
	want := []string{"kernel", "Debian packages", "files", "Go commands", "busybox", "image r.example/i:1", "links", "modes", "record"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if n := len(d.commands()); n != 3 {
		t.Errorf("%d commands; want 3", n)
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ name, yaml, want string }{
		{"unknown key", "description: x\nlink: {}\n", "layer.yaml:2: unknown key link"},
		{"unknown key below", "description: x\ndebian:\n  packages: [a]\n  kepp: [b]\n", "layer.yaml:4: unknown key kepp"},
		{"unknown key in a list", "description: x\ngo:\n- package: a\n  pth: b\n", "layer.yaml:4: unknown key pth"},
		{"twice", "description: x\ndirs: {}\ndirs: {}\n", "layer.yaml:3: "},
		{"wrong type", "description: x\ndebian:\n  packages: none\n", "layer.yaml:3: "},
		{"mode", "description: x\ndirs:\n  usr/x: 0999\n", "layer.yaml:3: \"0999\" is not a mode"},
		{"large mode", "description: x\nmodes: {usr/x: 17777}\n", "layer.yaml:2: "},
		{"syntax", "description: [x\n", "layer.yaml:"},
		{"two documents", "description: x\n---\ndescription: y\n", "layer.yaml"},
		{"empty", "", "layer.yaml"},
		{"no description", "links: {}\n", "description is missing"},
	} {
		_, err := parse("layer.yaml", []byte(test.yaml))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: parse = %v; want an error with %q", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "rootfs.") {
			t.Errorf("%s: %v: names a Go type", test.name, err)
		}
	}
}

func TestLoad(t *testing.T) {
	source := t.TempDir()
	if err := os.MkdirAll(filepath.Join(source, "one"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"two", "one"} {
		_, err := load(source, name)
		if err == nil || !strings.Contains(err.Error(), "layer "+name) || hint.Of(err) != "the layers are one" {
			t.Errorf("load(%s) = %v, hint %q", name, err, hint.Of(err))
		}
	}
	if _, err := load(source, "../one"); err == nil {
		t.Error("load(../one): no error")
	}
}

// The project's own definitions must parse.
func TestOwnDefinitions(t *testing.T) {
	const source = "../../rootfs"
	names, err := find(source)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"base", "ctr", "demo", "init", "kernel", "runtime", "tools"}, names); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	for _, name := range names {
		if _, err := load(source, name); err != nil {
			t.Errorf("load(%s): %v", name, err)
		}
	}
}

// go.mod keeps what the userland needs because a Go file imports its commands.
func TestOwnCommandsAreImported(t *testing.T) {
	d, err := load("../../rootfs", "tools")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../../rootfs/tools/commands.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var imported []string
	for _, spec := range file.Imports {
		imported = append(imported, strings.Trim(spec.Path.Value, `"`))
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(d.Busybox.Commands)), imported); diff != "" {
		t.Errorf("commands (-layer.yaml +commands.go):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("description: x\ndirs: {usr/d: 0700}\ngo: [{package: ./x, path: usr/x}]\n")
	f.Fuzz(func(t *testing.T, content string) {
		if d, err := parse("layer.yaml", []byte(content)); err == nil {
			d.steps()
		}
	})
}
