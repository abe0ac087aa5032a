// Package gocmd compiles Go commands for an image: always for the same machine,
// with the same flags, whatever the directory, the user's environment and the
// Go configuration of the host, so that the same sources give the same bytes.
//
// A command that comes whole from modules is kept in a cache by everything that
// goes into it: the versions of the modules it is made of, the flags, the Go
// release, and for cgo the C compiler and the static libraries. A command with
// packages of the main module is compiled each time; Go's own cache makes that
// quick.
package gocmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/oslayers/shlib"
	"github.com/ketch-os/ketch/internal/atomicfile"
)

// Command says what to compile.
type Command struct {
	Package string   `yaml:"package"`        // import path, or ./path in the main module
	Tags    []string `yaml:"tags,omitempty"` // build constraints that hold
	Stamp   Stamp    `yaml:"stamp,omitempty"`
	// Libraries names the C archives linked into the program: libc.a,
	// libseccomp.a. Where there are none cgo is off.
	Libraries []string `yaml:"libraries,omitempty"`
	// Keep keeps the program in the cache although it has packages of the main
	// module: for a large one of which they are a small and quiet part.
	Keep bool `yaml:"keep,omitempty"`
}

// Stamp sets string variables to versions: variable → module.
type Stamp map[string]string

func (c Command) cgo() bool { return len(c.Libraries) > 0 }

// Module is a module at a version.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Program is a command together with what it is made of.
type Program struct {
	Command
	Key     string // hex digest of everything that decides its bytes
	Version string // of the module that holds the package; "" in the main module and for a busybox
	Modules []Module
	Local   bool // has packages of the main module

	packages int       // to compile, for the progress figure
	busybox  []listing // the commands that are put together into one, if it is a busybox
	aliases  map[string]string
}

// Compiler compiles commands in the context of one main module.
type Compiler struct {
	Module string       // directory of go.mod
	Cache  string       // directory for programs made of modules alone
	Report func(string) // is told how a long compilation goes; may be nil

	goVersion string
}

// Open finds out about the Go tool that compiles in the module.
func Open(ctx context.Context, module, cache string, report func(string)) (*Compiler, error) {
	c := &Compiler{Module: module, Cache: cache, Report: report}
	version, err := c.run(ctx, "go", "env", "GOVERSION")
	if err != nil {
		return nil, fmt.Errorf("find the Go tool: %w", hint.Add(err, "Ketch is built with Go: https://go.dev/doc/install"))
	}
	c.goVersion = strings.TrimSpace(string(version))
	return c, nil
}

// environ is the host's environment without what would change the result.
func environ(cgo bool) []string {
	fixed := []string{
		"GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=",
		"GOFIPS140=off", "GODEBUG=", "GO111MODULE=on", "CGO_ENABLED=0", "LC_ALL=C",
	}
	if cgo {
		fixed = append(fixed, "CGO_ENABLED=1", "CC=gcc", "CGO_CFLAGS=-O2", "CGO_CPPFLAGS=", "CGO_LDFLAGS=-O2", "PKG_CONFIG=pkg-config")
	}
	return append(os.Environ(), fixed...) // the last setting of a name counts
}

// flags are those of go build.
func (p Program) flags() []string {
	link := "-s -w -buildid="
	for _, variable := range slices.Sorted(maps.Keys(p.Stamp)) {
		link += fmt.Sprintf(" -X %s=%s", variable, p.moduleVersion(p.Stamp[variable]))
	}
	flags := []string{"-trimpath", "-buildvcs=false", "-tags=" + strings.Join(p.Tags, ",")}
	if p.cgo() {
		flags = append(flags, "-buildmode=pie")
		link += " -linkmode=external -extldflags '-static-pie -Wl,--build-id=none'"
	}
	return append(flags, "-ldflags="+link)
}

// moduleVersion is the version of a module that the program is made of, or "".
func (p Program) moduleVersion(path string) string {
	i := slices.IndexFunc(p.Modules, func(m Module) bool { return m.Path == path })
	if i < 0 {
		return ""
	}
	return p.Modules[i].Version
}

// checkStamp finds a stamp that would set nothing.
func (p Program) checkStamp() error {
	for variable, module := range p.Stamp {
		if p.moduleVersion(module) == "" {
			return fmt.Errorf("stamp %s: the command is not made of module %q", variable, module)
		}
	}
	return nil
}

// kept tells whether the program belongs in the cache.
func (p Program) kept() bool { return !p.Local || p.Keep }

// name is the file name of the program in the cache.
func (p Program) name() string { return filepath.Base(p.Package) }

// cached is where the program is kept, if it is one to keep.
func (c *Compiler) cached(p Program) string { return filepath.Join(c.Cache, p.Key, p.name()) }

// sumSuffix names the file beside a kept program that holds its SHA-256: the key
// names what the program is made of, not its bytes.
const sumSuffix = ".sha256"

// Cached tells whether the cache has the program. Build looks at its bytes, too.
func (c *Compiler) Cached(p Program) bool {
	_, err := os.Stat(c.cached(p))
	return err == nil && p.kept()
}

// whole tells whether the cache has the program as it was kept.
func (c *Compiler) whole(p Program) bool {
	noted, err := os.ReadFile(c.cached(p) + sumSuffix)
	if err != nil || !p.kept() {
		return false
	}
	sum, err := sumOf(c.cached(p))
	return err == nil && sum == string(noted)
}

// sumOf is the SHA-256 of a file, as sha256sum would write it, without the name.
func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x\n", h.Sum(nil)), nil
}

// Build makes the program and returns its path: in the cache, or under work,
// which belongs to the caller.
func (c *Compiler) Build(ctx context.Context, p Program, work string) (string, error) {
	if c.whole(p) {
		return c.cached(p), nil
	}
	dir, err := os.MkdirTemp(work, "go-")
	if err != nil {
		return "", err
	}
	output := filepath.Join(dir, p.name())
	module, target := c.Module, p.Package
	if p.busybox != nil {
		module, target = filepath.Join(dir, "source"), "."
		if err := c.writeBusybox(ctx, module, p); err != nil {
			return "", fmt.Errorf("generate %s: %w", p.Package, err)
		}
	}
	if err := c.compile(ctx, module, target, output, p); err != nil {
		return "", err
	}
	if !p.kept() {
		return output, nil
	}
	return c.keep(p, output)
}

// keep moves a program into the cache, and notes its digest. Cut short between
// the two, or between a program and another's digest, it is compiled again.
func (c *Compiler) keep(p Program, output string) (string, error) {
	sum, err := sumOf(output)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(output+sumSuffix, []byte(sum), 0o644); err != nil {
		return "", err
	}
	kept := c.cached(p)
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return "", err
	}
	return kept, errors.Join(atomicfile.Move(output, kept), atomicfile.Move(output+sumSuffix, kept+sumSuffix))
}

// compile runs go build in a module's directory and checks that the result needs no library.
func (c *Compiler) compile(ctx context.Context, module, target, output string, p Program) error {
	args := append([]string{"build", "-v", "-o", output}, p.flags()...)
	cmd := exec.CommandContext(ctx, "go", append(args, target)...)
	cmd.Dir = module
	cmd.Env = environ(p.cgo())
	progress := &progress{name: p.name(), total: p.packages, report: c.Report, last: time.Now()}
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w", p.Package, progress.explain(err))
	}
	content, err := os.ReadFile(output)
	if err != nil {
		return err
	}
	object, err := shlib.Inspect(content)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", p.Package, err)
	}
	if !object.Static() {
		return fmt.Errorf("go build %s: the program is not static: it needs %q", p.Package, append(object.Needed, object.Interpreter))
	}
	return nil
}

// run returns the standard output of a tool that is run in the module's directory.
func (c *Compiler) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.Module
	cmd.Env = environ(false)
	return output(cmd)
}

// output runs cmd; its complaints become part of the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if text := strings.TrimSpace(stderr.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return stdout, err
}
