package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file holds the rules of who may import whom. They are about programs, not
// about their tests.

// module is the path of this module.
const module = "github.com/ketch-os/ketch"

// ranks are the directories at the top, by how high they stand: a package imports
// from its own directory and from lower ones, never from its rank or above. The
// first rank is of what is given to people and machines: they share nothing but
// what stands below.
var ranks = [][]string{
	{"builder", "init", "agent", "fleet"},
	{"update"},
	{"disk", "efi", "linux"},
	{"api"},
	{"layout", "internal"},
}

// outside are directories of which nothing is imported, and which import what
// they like: tests and tools.
var outside = []string{"qemu-tests", "kernel-config", "rootfs", "scripts"}

// goPackage is a package as go list tells of it.
type goPackage struct {
	ImportPath string
	Standard   bool
	Dir        string
	GoFiles    []string
	Imports    []string
}

// graph is packages by their import path.
type graph map[string]goPackage

// top is the directory at the top that a package of ours lies in; "" is any other's.
func top(path string) string {
	inside, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(inside, "/")
	return name
}

// in tells whether a package is, or lies below, one of some directories.
func in(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return path == module+"/"+dir || strings.HasPrefix(path, module+"/"+dir+"/")
	})
}

// rank is how high a directory stands; -1: it has no place.
func rank(dir string) int {
	return slices.IndexFunc(ranks, func(dirs []string) bool { return slices.Contains(dirs, dir) })
}

// deps are all packages that some need, themselves included.
func (g graph) deps(from func(path string) bool) map[string]bool {
	found := map[string]bool{}
	var visit func(string)
	visit = func(path string) {
		if found[path] {
			return
		}
		found[path] = true
		for _, next := range g[path].Imports {
			visit(next)
		}
	}
	for path := range g {
		if from(path) {
			visit(path)
		}
	}
	return found
}

// oneWay: imports point downwards.
func (g graph) oneWay() (wrong []string) {
	for path, p := range g {
		from := top(path)
		if from == "" || slices.Contains(outside, from) {
			continue
		}
		if rank(from) < 0 {
			wrong = append(wrong, path+" lies in a directory that has no rank: see ranks and outside")
			continue
		}
		for _, imported := range p.Imports {
			if to := top(imported); to != "" && to != from && rank(to) <= rank(from) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s", path, imported))
			}
		}
	}
	return wrong
}

// builderWithoutKernel: the builder runs on any Linux, and without root.
func (g graph) builderWithoutKernel() (wrong []string) {
	for path := range g.deps(func(path string) bool { return in(path, "builder") }) {
		if in(path, "linux") {
			wrong = append(wrong, "builder needs "+path)
		}
	}
	return wrong
}

// tinyInit: PID 1 has no dependency but the standard library, golang.org/x/sys
// and our own packages, and nothing in it speaks to a network.
func (g graph) tinyInit() (wrong []string) {
	for path := range g.deps(func(path string) bool { return in(path, "init") }) {
		switch {
		case path == "net" || strings.HasPrefix(path, "net/"):
			wrong = append(wrong, "init needs "+path)
		case g[path].Standard, top(path) != "", strings.HasPrefix(path, "golang.org/x/sys/"):
		default:
			wrong = append(wrong, "init needs "+path)
		}
	}
	return wrong
}

// withoutHTTP are packages of ketchd that do not import HTTP for the sake of a
// struct: not themselves, and not by a package of ours.
func (g graph) withoutHTTP() (wrong []string) {
	for _, dir := range []string{"agent/network", "agent/imagestore"} {
		for path := range g.deps(func(path string) bool { return in(path, dir) }) {
			if top(path) != "" && slices.Contains(g[path].Imports, "net/http") {
				wrong = append(wrong, fmt.Sprintf("%s needs %s, which imports net/http", dir, path))
			}
		}
	}
	return wrong
}

// pure are the packages of formats but for those that only tests use: time,
// identifiers and keys are arguments.
func pure(path string) bool {
	return in(path, "disk", "efi") && !in(path, "disk/erofs/sample", "disk/erofs/manifest", "efi/internal/fixture")
}

// pureFormats: no clock, no randomness, no processes, no files of their own.
func (g graph) pureFormats() (wrong []string) {
	for path := range g.deps(pure) {
		if top(path) == "" {
			continue
		}
		for _, imported := range g[path].Imports {
			switch imported {
			case "crypto/rand", "math/rand", "math/rand/v2", "os", "os/exec", "os/signal", "net", "golang.org/x/sys/unix":
				wrong = append(wrong, fmt.Sprintf("%s imports %s", path, imported))
			}
		}
	}
	return wrong
}

// clock finds where a source file asks what time it is, or waits.
func clock(name string, source any) (wrong []string, err error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(parsed.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote("time") }) {
		return nil, nil
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
			switch s.Sel.Name {
			case "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer":
				wrong = append(wrong, fmt.Sprintf("%s calls time.%s", files.Position(s.Pos()), s.Sel.Name))
			}
		}
		return true
	})
	return wrong, nil
}

// rules are all of them, but for the clock, which is in the sources.
func (g graph) rules() []string {
	wrong := slices.Concat(g.oneWay(), g.builderWithoutKernel(), g.tinyInit(), g.withoutHTTP(), g.pureFormats())
	slices.Sort(wrong)
	return wrong
}

// TestImports holds the rules against the whole module.
func TestImports(t *testing.T) {
	g := packages(t)
	for _, wrong := range g.rules() {
		t.Error(wrong)
	}
	for path := range g {
		if !pure(path) {
			continue
		}
		for _, name := range g[path].GoFiles {
			wrong, err := clock(filepath.Join(g[path].Dir, name), nil)
			if err != nil {
				t.Error(err)
			}
			for _, w := range wrong {
				t.Error(w)
			}
		}
	}
}

// packages lists every package of the module, and all that they need.
func packages(t *testing.T) graph {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Dir,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	g := graph{}
	for list := json.NewDecoder(out); ; {
		var p goPackage
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		g[p.ImportPath] = p
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, ok := g[module+"/init"]; !ok {
		t.Fatal("go list does not name PID 1")
	}
	return g
}

// TestRules breaks each of them.
func TestRules(t *testing.T) {
	for edge, want := range map[string]string{
		"builder/x init/y":                   "builder/x imports init/y",
		"init agent/api":                     "init imports agent/api",
		"fleet/server builder/image":         "fleet/server imports builder/image",
		"update/slot agent/x":                "update/slot imports agent/x",
		"disk/gpt update/slot":               "disk/gpt imports update/slot",
		"disk/gpt linux/dm":                  "disk/gpt imports linux/dm",
		"efi/uki disk/gpt":                   "efi/uki imports disk/gpt",
		"layout disk/gpt":                    "layout imports disk/gpt",
		"layout api/node":                    "layout imports api/node",
		"internal/x builder/hint":            "internal/x imports builder/hint",
		"elsewhere layout":                   "elsewhere lies in a directory that has no rank: see ranks and outside",
		"builder/x linux/dm":                 "builder needs linux/dm",
		"init/x net":                         "init needs net",
		"init/x go.yaml.in/yaml/v4":          "init needs go.yaml.in/yaml/v4",
		"agent/network net/http":             "agent/network needs agent/network, which imports net/http",
		"agent/imagestore api/node net/http": "agent/imagestore needs api/node, which imports net/http",
		"disk/gpt crypto/rand":               "disk/gpt imports crypto/rand",
		"efi/uki os/exec":                    "efi/uki imports os/exec",
		"builder/x efi/uki layout":           "",
		"init/x golang.org/x/sys/unix":       "",
		"qemu-tests builder/qemu":            "",
	} {
		chain := strings.Fields(edge)
		for i, path := range chain {
			if slices.ContainsFunc(append(slices.Concat(ranks...), "elsewhere", "qemu-tests"), func(dir string) bool { return strings.Split(path, "/")[0] == dir }) {
				chain[i] = module + "/" + path
			}
		}
		g := graph{}
		for i, path := range chain {
			g[path] = goPackage{ImportPath: path, Imports: chain[i+1 : min(i+2, len(chain))]}
		}
		if got := strings.ReplaceAll(strings.Join(g.rules(), "; "), module+"/", ""); got != want && !slices.Contains(strings.Split(got, "; "), want) {
			t.Errorf("%s: %q; want %q", edge, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	for source, want := range map[string]int{
		"package p\nimport \"time\"\nvar now = time.Now()\n":                                     1,
		"package p\nimport \"time\"\nvar zero time.Time\n":                                       0,
		"package p\nimport time \"math\"\nvar now = time.Now()\n":                                0,
		"package p\nimport \"time\"\nfunc f() { time.Sleep(1); time.After(time.Since(zero)) }\n": 3,
	} {
		if got, err := clock("p.go", source); err != nil || len(got) != want {
			t.Errorf("clock(%q) = %v, %v; want %d", source, got, err, want)
		}
	}
}
