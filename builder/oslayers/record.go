package oslayers

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/oslayers/gocmd"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/layout"
)

// record lists the software in a layer.
type record inventory.Layer

// record notes a program and what it is linked with.
func (b *build) record(ctx context.Context, l *layer, binary string, p inventory.Program) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	if p.Linked, err = b.archives(ctx, p.Libraries); err != nil {
		return err
	}
	l.record.addProgram(p, info)
	return nil
}

// recordOf is what is known of a program before it is compiled.
func recordOf(path string, p gocmd.Program) inventory.Program {
	return inventory.Program{Path: path, Package: p.Package, Version: p.Version, Libraries: p.Libraries}
}

// addProgram completes a program by what the Go linker wrote into it.
func (r *record) addProgram(p inventory.Program, info *debug.BuildInfo) {
	p.Go = info.GoVersion
	for _, module := range linked(info) {
		p.Modules = append(p.Modules, module.ModuleVersion)
		r.addModule(module)
	}
	if info.Main.Sum != "" { // built out of somebody else's module
		r.addModule(moduleOf(&info.Main))
	}
	r.Go = append(r.Go, p)
}

// linked are the modules that a program is made of, its main module left out.
func linked(info *debug.BuildInfo) []inventory.Module {
	var modules []inventory.Module
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		modules = append(modules, moduleOf(dep))
	}
	return modules
}

func moduleOf(m *debug.Module) inventory.Module {
	return inventory.Module{ModuleVersion: inventory.ModuleVersion{Path: m.Path, Version: m.Version}, Sum: m.Sum}
}

func (r *record) addModule(m inventory.Module) {
	if !slices.ContainsFunc(r.Modules, func(other inventory.Module) bool { return other.ModuleVersion == m.ModuleVersion }) {
		r.Modules = append(r.Modules, m)
	}
}

// moduleVersion is the version of a module that the programs are made of.
func (r *record) moduleVersion(path string) (string, error) {
	for _, program := range r.Go {
		if program.Version != "" && strings.HasPrefix(program.Package+"/", path+"/") {
			return program.Version, nil
		}
		for _, module := range program.Modules {
			if module.Path == path {
				return module.Version, nil
			}
		}
	}
	return "", fmt.Errorf("no program of the layer is made of module %s", path)
}

// debianLabel is "name=version …", sorted by name; "" without Debian packages.
func (r *record) debianLabel() string {
	var pairs []string
	for _, p := range r.Debian {
		pairs = append(pairs, p.Name+"="+p.Version)
	}
	return strings.Join(pairs, " ")
}

// recorded writes the record into the layer. It is the last step.
type recorded struct{}

func (recorded) inputs(_ context.Context, b *build) ([]string, error) {
	own, err := b.own()
	if err != nil {
		return nil, err
	}
	return []string{own.Path, own.Licence}, nil
}

func (recorded) apply(ctx context.Context, b *build, l *layer) error {
	if l.record.Debian == nil && l.record.Go == nil {
		return nil
	}
	if err := l.record.addLicences(ctx, b); err != nil {
		return err
	}
	slices.SortFunc(l.record.Debian, func(a, b inventory.Debian) int { return strings.Compare(a.Name, b.Name) })
	content, err := json.MarshalIndent(l.record, "", " ")
	if err != nil {
		return err
	}
	return l.files.add(layout.PackagesDir[1:]+"/"+l.name+".json", regular(plain, append(content, '\n')))
}

// digestFile is the SHA-256 of a file of the host, in hex.
func digestFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digestOf(f)
}

// digestOf is the SHA-256 of what is read, in hex.
func digestOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}
