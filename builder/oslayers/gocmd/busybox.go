package gocmd

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"golang.org/x/mod/modfile"
)

// Busybox says which commands to put together into one program, which runs the
// one it is called as.
type Busybox struct {
	Commands []string          `yaml:"commands"` // import paths of main packages
	Aliases  map[string]string `yaml:"aliases"`  // further names: sh: gosh
	Tags     []string          `yaml:"tags,omitempty"`
	Stamp    Stamp             `yaml:"stamp,omitempty"`
}

// Names are all names the program answers to, sorted.
func (b Busybox) Names() []string {
	var names []string
	for _, command := range b.Commands {
		names = append(names, path.Base(command))
	}
	for alias := range b.Aliases {
		names = append(names, alias)
	}
	slices.Sort(names)
	return names
}

// check finds what would only be noticed on the machine.
func (b Busybox) check() error {
	names := b.Names()
	for i, name := range names[1:] {
		if name == names[i] {
			return fmt.Errorf("two commands are called %s", name)
		}
	}
	for alias, name := range b.Aliases {
		if !slices.ContainsFunc(b.Commands, func(c string) bool { return path.Base(c) == name }) {
			return fmt.Errorf("alias %s is for %s, which is no command of it", alias, name)
		}
	}
	return nil
}

// The program that turns commands into libraries, and the package that it does so
// with: its version decides the result, too.
const (
	rewriter  = "github.com/ketch-os/ketch/builder/oslayers/gocmd/rewrite"
	rewriting = "github.com/u-root/gobusybox/src/pkg/bb/bbinternal"
)

//go:embed busybox/main.go.tmpl
var busyboxMain string

//go:embed busybox/command.go.tmpl
var busyboxCommand []byte

// ResolveBusybox finds what the program called name is made of.
func (c *Compiler) ResolveBusybox(ctx context.Context, name string, b Busybox) (Program, error) {
	if len(b.Commands) == 0 {
		return Program{}, errors.New("resolve busybox: it has no commands")
	}
	if err := b.check(); err != nil {
		return Program{}, fmt.Errorf("resolve busybox: %w", err)
	}
	command := Command{Package: name, Tags: b.Tags, Stamp: b.Stamp}
	listed, err := c.list(ctx, command, append(slices.Clone(b.Commands), rewriter))
	if err != nil {
		return Program{}, err
	}
	var roots []listing
	for _, l := range listed {
		if slices.Contains(b.Commands, l.ImportPath) {
			roots = append(roots, l)
		}
	}
	p := Program{Command: command, busybox: roots, aliases: b.Aliases}
	if err := c.identify(ctx, &p, listed, roots); err != nil {
		return p, fmt.Errorf("resolve busybox: %w", err)
	}
	p.Key = digest(p.Key, busyboxMain, string(busyboxCommand), fmt.Sprintf("%q", b.Aliases), version(listed, rewriting))
	return p, nil
}

// version is the version of the module that holds a package.
func version(listed []listing, importPath string) string {
	for _, l := range listed {
		if l.ImportPath == importPath && l.Module != nil {
			return l.Module.Version
		}
	}
	return ""
}

// writeBusybox generates a module of its own, with our requirements: each
// command rewritten into a library, and a main that chooses among them.
func (c *Compiler) writeBusybox(ctx context.Context, dir string, p Program) error {
	if err := os.MkdirAll(filepath.Join(dir, "command"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "command/command.go"), busyboxCommand, 0o644); err != nil {
		return err
	}
	if err := c.copyRequirements(dir); err != nil {
		return err
	}
	names, err := c.rewrite(ctx, dir, p)
	if err != nil {
		return err
	}
	var main bytes.Buffer
	data := struct {
		Names   []string
		Aliases map[string]string
	}{names, p.aliases}
	if err := template.Must(template.New("main").Parse(busyboxMain)).Execute(&main, data); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "main.go"), main.Bytes(), 0o644)
}

// copyRequirements gives the module in dir our go.mod under another name, and our go.sum.
func (c *Compiler) copyRequirements(dir string) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(c.Module, name))
		if err != nil {
			return err
		}
		if name == "go.mod" {
			if content, err = renameModule(content); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func renameModule(gomod []byte) ([]byte, error) {
	file, err := modfile.Parse("go.mod", gomod, nil)
	if err != nil {
		return nil, err
	}
	if err := file.AddModuleStmt("busybox"); err != nil {
		return nil, err
	}
	return file.Format()
}

// rewrite turns the main packages into libraries under dir/cmd and returns their names.
func (c *Compiler) rewrite(ctx context.Context, dir string, p Program) ([]string, error) {
	program := filepath.Join(dir, "rewrite")
	if _, err := c.run(ctx, "go", "build", "-o", program, rewriter); err != nil {
		return nil, err
	}
	defer os.Remove(program)
	goCache, err := c.run(ctx, "go", "env", "GOCACHE")
	if err != nil {
		return nil, err
	}
	args := []string{dir, strings.Join(p.Tags, ",")}
	for _, l := range p.busybox {
		args = append(args, l.ImportPath)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.Module
	cmd.Env = append(environ(false), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "GOCACHE="+strings.TrimSpace(string(goCache)))
	names, err := output(cmd)
	return slices.Sorted(slices.Values(strings.Fields(string(names)))), err
}
