package gocmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// module writes a small module without requirements and returns a compiler for it.
func module(t *testing.T, files map[string]string) *Compiler {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Open(t.Context(), dir, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var hello = map[string]string{
	"go.mod":             "module hello\n\ngo 1.26\n",
	"cmd/main.go":        "package main\n\nimport _ \"embed\"\n\n//go:embed text\nvar text string\n\nfunc main() { print(text, greeting) }\n",
	"cmd/text":           "hello, ",
	"cmd/plain.go":       "//go:build !loud\n\npackage main\n\nconst greeting = \"world\"\n",
	"cmd/loud.go":        "//go:build loud\n\npackage main\n\nconst greeting = \"WORLD\"\n",
	"cmd/main_test.go":   "package main\n",
	"broken/main.go":     "package main\n\nfunc main() { undefined() }\n",
	"other/unrelated.go": "package other\n",
}

// build resolves and builds one command.
func build(t *testing.T, c *Compiler, command Command) (Program, string) {
	t.Helper()
	programs, err := c.Resolve(t.Context(), []Command{command})
	if err != nil {
		t.Fatal(err)
	}
	path, err := c.Build(t.Context(), programs[0], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return programs[0], path
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// The environment and the directory must not matter; what a program is made of must.
func TestBuildIsReproducible(t *testing.T) {
	first, path := build(t, module(t, hello), Command{Package: "./cmd"})
	want := read(t, path)
	for name, value := range map[string]string{
		"GOFLAGS": "-tags=loud", "GOAMD64": "v3", "GOOS": "plan9", "CGO_ENABLED": "1", "GOEXPERIMENT": "nogreenteagc",
	} {
		t.Setenv(name, value)
	}
	second, path := build(t, module(t, hello), Command{Package: "./cmd"})
	if first.Key != second.Key {
		t.Errorf("Resolve in another directory: key %s; want %s", second.Key, first.Key)
	}
	if !first.Local {
		t.Error("Resolve: a command of the main module is not local")
	}
	if read(t, path) != want {
		t.Error("Build in another directory: different bytes")
	}
	if output, err := exec.Command(path).CombinedOutput(); err != nil || string(output) != "hello, world" {
		t.Errorf("the program says %q, %v", output, err)
	}
	loud, path := build(t, module(t, hello), Command{Package: "./cmd", Tags: []string{"loud"}})
	if loud.Key == first.Key {
		t.Error("Resolve with a tag: the same key")
	}
	if output, err := exec.Command(path).CombinedOutput(); err != nil || string(output) != "hello, WORLD" {
		t.Errorf("the program with a tag says %q, %v", output, err)
	}
}

func TestKeyFollowsTheFiles(t *testing.T) {
	c := module(t, hello)
	key := func() string {
		programs, err := c.Resolve(t.Context(), []Command{{Package: "./cmd"}})
		if err != nil {
			t.Fatal(err)
		}
		return programs[0].Key
	}
	before := key()
	for _, test := range []struct {
		file string
		want bool // the key changes
	}{
		{"cmd/text", true}, {"cmd/plain.go", true}, {"cmd/loud.go", false}, {"cmd/main_test.go", false}, {"other/unrelated.go", false},
	} {
		path := filepath.Join(c.Module, test.file)
		if err := os.WriteFile(path, []byte(hello[test.file]+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if changed := key() != before; changed != test.want {
			t.Errorf("after a change of %s the key changed: %v; want %v", test.file, changed, test.want)
		}
		if err := os.WriteFile(path, []byte(hello[test.file]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	c := module(t, hello)
	programs, err := c.Resolve(t.Context(), []Command{{Package: "./broken"}})
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	_, err = c.Build(t.Context(), programs[0], work)
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("Build(./broken) = %v; want the compiler's complaint", err)
	}
	for _, name := range []string{"./missing", "example.org/missing", "./other"} {
		programs, err := c.Resolve(t.Context(), []Command{{Package: name}})
		if err == nil {
			_, err = c.Build(t.Context(), programs[0], work)
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v; want an error that names it", name, err)
		}
	}
	if _, err := c.Resolve(t.Context(), []Command{{Package: "./cmd", Libraries: []string{"libnone.a"}}}); err == nil || !strings.Contains(err.Error(), "libnone.a") {
		t.Errorf("Resolve with libnone.a: %v; want an error that names it", err)
	}
}

func TestBuildStopsWithItsContext(t *testing.T) {
	c := module(t, hello)
	programs, err := c.Resolve(t.Context(), []Command{{Package: "./cmd"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Build(ctx, programs[0], t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: %v; want %v", err, context.Canceled)
	}
}

// cgo links C in and still needs nothing of the machine it runs on.
func TestBuildCgoIsStatic(t *testing.T) {
	testkit.Tool(t, "gcc")
	c := module(t, map[string]string{
		"go.mod":      "module c\n\ngo 1.26\n",
		"cmd/main.go": "package main\n\n// #include <stdlib.h>\nimport \"C\"\n\nfunc main() { print(C.abs(-7)) }\n",
	})
	_, path := build(t, c, Command{Package: "./cmd", Libraries: []string{"libc.a"}})
	output, err := exec.Command(path).CombinedOutput()
	if err != nil || string(output) != "7" {
		t.Errorf("the program says %q, %v", output, err)
	}
}

// ours is a compiler for this module, whose requirements are there anyway.
func ours(t *testing.T) *Compiler {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), root, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func core(names ...string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, "github.com/u-root/u-root/cmds/core/"+name)
	}
	return paths
}

func TestBusybox(t *testing.T) {
	c := ours(t)
	b := Busybox{Commands: core("echo", "basename"), Aliases: map[string]string{"say": "echo"}}
	p, err := c.ResolveBusybox(t.Context(), "busybox", b)
	if err != nil {
		t.Fatal(err)
	}
	if p.Local || !slices.ContainsFunc(p.Modules, func(m Module) bool { return m.Path == "github.com/u-root/u-root" }) {
		t.Errorf("ResolveBusybox: local %v, modules %v", p.Local, p.Modules)
	}
	goCache, err := c.run(t.Context(), "go", "env", "GOCACHE")
	if err != nil {
		t.Fatal(err)
	}
	userCache := t.TempDir()
	t.Setenv("GOCACHE", strings.TrimSpace(string(goCache)))
	t.Setenv("XDG_CACHE_HOME", userCache)
	path, err := c.Build(t.Context(), p, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(userCache); err != nil || len(left) > 0 {
		t.Errorf("the user's cache holds %v, %v; want nothing", left, err)
	}
	if path != c.cached(p) {
		t.Errorf("Build: %s; want it in the cache: %s", path, c.cached(p))
	}
	bin := t.TempDir()
	for _, name := range b.Names() {
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		run  []string
		want string
	}{
		{[]string{filepath.Join(bin, "echo"), "a"}, "a\n"},
		{[]string{filepath.Join(bin, "say"), "b"}, "b\n"},
		{[]string{path, "basename", "/x/y"}, "y\n"},
	} {
		output, err := exec.Command(test.run[0], test.run[1:]...).Output()
		if err != nil || string(output) != test.want {
			t.Errorf("%q says %q, %v; want %q", test.run, output, err, test.want)
		}
	}
	var exit *exec.ExitError
	if _, err := exec.Command(path, "nothing").Output(); !errors.As(err, &exit) || exit.ExitCode() != 127 ||
		!strings.Contains(string(exit.Stderr), "basename") {
		t.Errorf("an unknown command: %v; want status 127 and the list", err)
	}
}

func TestBusyboxErrors(t *testing.T) {
	c := ours(t)
	for _, test := range []struct {
		name string
		b    Busybox
		want string
	}{
		{"empty", Busybox{}, "no commands"},
		{"same name", Busybox{Commands: []string{"example.org/a/ls", "example.org/b/ls"}}, "two commands are called ls"},
		{"alias like a command", Busybox{Commands: core("ls", "cp"), Aliases: map[string]string{"ls": "cp"}}, "two commands are called ls"},
		{"alias for nothing", Busybox{Commands: core("ls"), Aliases: map[string]string{"dir": "lss"}}, "alias dir is for lss"},
	} {
		_, err := c.ResolveBusybox(t.Context(), "busybox", test.b)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want an error with %q", test.name, err, test.want)
		}
	}
}

// What go list says about modules is asked once for each go.mod.
func TestResolveRemembers(t *testing.T) {
	c := ours(t)
	commands := []Command{{Package: core("echo")[0]}, {Package: core("basename")[0]}}
	first, err := c.Resolve(t.Context(), commands)
	if err != nil {
		t.Fatal(err)
	}
	memos, err := os.ReadDir(filepath.Join(c.Cache, "lists"))
	if err != nil || len(memos) != 1 {
		t.Fatalf("answers remembered: %v, %v; want 1", memos, err)
	}
	t.Setenv("PATH", t.TempDir()) // no go tool to ask
	second, err := c.Resolve(t.Context(), commands)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if first[i].Key != second[i].Key || first[i].Version == "" {
			t.Errorf("%s: key %s, then %s; version %q", first[i].Package, first[i].Key, second[i].Key, first[i].Version)
		}
	}
	if first[0].Key == first[1].Key {
		t.Error("two commands have one key")
	}
	// An answer that is not as it was is no answer: the tool is asked, and is not there.
	if err := os.Truncate(filepath.Join(c.Cache, "lists", memos[0].Name()), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resolve(t.Context(), commands); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("Resolve with an empty answer = %v; want %v", err, exec.ErrNotFound)
	}
}

func TestKeep(t *testing.T) {
	c := module(t, hello)
	p, path := build(t, c, Command{Package: "./cmd", Keep: true})
	if path != c.cached(p) || !c.Cached(p) {
		t.Errorf("Build: %s; want it in the cache: %s", path, c.cached(p))
	}
	p.Keep = false
	if c.Cached(p) {
		t.Error("a command of the main module is said to be in the cache")
	}
}

// A program that is not the one that was kept, or has lost its digest, is made again.
func TestKeptProgramChanged(t *testing.T) {
	c := module(t, hello)
	p, path := build(t, c, Command{Package: "./cmd", Keep: true})
	want := read(t, path)
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(){
		"emptied":        func() { put(path, "") },
		"another":        func() { put(path, strings.Replace(want, "hello, ", "HELLO, ", 1)) },
		"without digest": func() { put(path, "x"); os.Remove(path + sumSuffix) },
		"empty digest":   func() { put(path, "x"); put(path+sumSuffix, "") },
	} {
		damage()
		again, err := c.Build(t.Context(), p, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, again); again != path || got != want {
			t.Errorf("%s: Build = %s of %d bytes; want %s of %d", name, again, len(got), path, len(want))
		}
	}
	// What is whole is not made again.
	t.Setenv("PATH", t.TempDir())
	if again, err := c.Build(t.Context(), p, t.TempDir()); err != nil || again != path {
		t.Errorf("Build of what is there = %q, %v; want %s", again, err, path)
	}
}

func TestStamp(t *testing.T) {
	p := Program{Modules: []Module{{"example.org/m", "v1.2.3"}, {"example.org/n", "v4.5.6"}}}
	p.Stamp = Stamp{"main.n": "example.org/n", "example.org/m.Version": "example.org/m"}
	if err := p.checkStamp(); err != nil {
		t.Error(err)
	}
	want := "-ldflags=-s -w -buildid= -X example.org/m.Version=v1.2.3 -X main.n=v4.5.6"
	if flags := p.flags(); flags[len(flags)-1] != want {
		t.Errorf("flags() end in %q; want %q", flags[len(flags)-1], want)
	}
	p.Stamp["main.o"] = "example.org/o"
	if err := p.checkStamp(); err == nil || !strings.Contains(err.Error(), "example.org/o") {
		t.Errorf("checkStamp = %v; want an error that names example.org/o", err)
	}
}

func TestProgress(t *testing.T) {
	p := &progress{name: "x", total: 4}
	for _, part := range []string{"go: downloading a v1\nnet/h", "ttp\nexample.org/x\n", "# example.org/x\nx.go:1:2: undefined: y"} {
		if n, err := p.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	if want := "x: 50 % (2 of 4 packages)"; p.figure() != want {
		t.Errorf("figure() = %q; want %q", p.figure(), want)
	}
	err := p.explain(fs.ErrInvalid)
	if want := "invalid argument\n\t# example.org/x\n\tx.go:1:2: undefined: y"; err.Error() != want {
		t.Errorf("explain = %q; want %q", err, want)
	}
	if diff := cmp.Diff("x: 1 modules downloaded", (&progress{name: "x", downloaded: 1}).figure()); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecodeListing reads what may be no answer of go list: it ends, and what it
// took is there.
func FuzzDecodeListing(f *testing.F) {
	f.Add([]byte(`{"ImportPath":"a","Deps":["b"]}{"ImportPath":"b","Standard":true}`))
	f.Add([]byte(`{"ImportPath":`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		listed, err := decodeListing(answer)
		if err == nil && len(listed) > len(answer) {
			t.Errorf("%d packages of %d bytes", len(listed), len(answer))
		}
	})
}
