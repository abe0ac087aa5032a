package gocmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/cache"
	"github.com/ketch-os/ketch/builder/hint"
)

// keyVersion changes when the way a program is made changes.
const keyVersion = "ketch go command, 2"

// listing is a package as `go list -deps -json` describes it.
type listing struct {
	ImportPath string
	Dir        string
	Standard   bool
	DepOnly    bool
	Module     *struct {
		Path, Version string
		Main          bool
		Replace       *Module
	}
	Deps []string

	GoFiles, CgoFiles, CFiles, HFiles, SFiles, SysoFiles, EmbedFiles []string
}

const listingFields = "ImportPath,Dir,Standard,DepOnly,Module,Deps,GoFiles,CgoFiles,CFiles,HFiles,SFiles,SysoFiles,EmbedFiles"

func (l listing) local() bool { return l.Module != nil && l.Module.Main }

func (l listing) files() []string {
	return slices.Concat(l.GoFiles, l.CgoFiles, l.CFiles, l.HFiles, l.SFiles, l.SysoFiles, l.EmbedFiles)
}

// Resolve finds what each command is made of. Commands that are compiled alike
// are asked about together: each question to the Go tool takes about half a second.
func (c *Compiler) Resolve(ctx context.Context, commands []Command) ([]Program, error) {
	groups := map[string][]int{}
	for i, command := range commands {
		local := strings.HasPrefix(command.Package, "./")
		alike := fmt.Sprintf("%q %v %v", command.Tags, command.cgo(), local)
		groups[alike] = append(groups[alike], i)
	}
	programs := make([]Program, len(commands))
	for _, group := range groups {
		var packages []string
		for _, i := range group {
			packages = append(packages, commands[i].Package)
		}
		listed, err := c.list(ctx, commands[group[0]], packages)
		if err != nil {
			return nil, err
		}
		for _, i := range group {
			if programs[i], err = c.resolve(ctx, commands[i], listed); err != nil {
				return nil, err
			}
		}
	}
	return programs, nil
}

// resolve picks one command out of the packages listed.
func (c *Compiler) resolve(ctx context.Context, command Command, listed []listing) (Program, error) {
	root := slices.IndexFunc(listed, func(l listing) bool {
		return !l.DepOnly && (l.ImportPath == command.Package || l.Dir == filepath.Join(c.Module, command.Package))
	})
	if root < 0 {
		return Program{}, fmt.Errorf("resolve Go command %s: go list does not know it", command.Package)
	}
	p := Program{Command: command}
	if module := listed[root].Module; module != nil {
		p.Version = module.Version
	}
	if err := c.identify(ctx, &p, listed, []listing{listed[root]}); err != nil {
		return p, fmt.Errorf("resolve Go command %s: %w", command.Package, err)
	}
	return p, nil
}

// identify fills in what depends on all packages that the roots are made of.
func (c *Compiler) identify(ctx context.Context, p *Program, listed, roots []listing) error {
	wanted := map[string]bool{}
	for _, root := range roots {
		wanted[root.ImportPath] = true
		for _, dep := range root.Deps {
			wanted[dep] = true
		}
	}
	key := sha256.New()
	for _, l := range listed { // in the order of go list: dependencies first, then by name
		if !wanted[l.ImportPath] {
			continue
		}
		p.packages++
		if err := p.addPackage(key, l); err != nil {
			return err
		}
	}
	slices.SortFunc(p.Modules, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	if err := p.checkStamp(); err != nil {
		return err
	}
	fmt.Fprintf(key, "%s\n%s\n%q\n%q\n%q\n%q\n", keyVersion, c.goVersion, p.Package, p.Modules, p.flags(), p.Libraries)
	if p.cgo() {
		if err := c.identifyC(ctx, key, p.Libraries); err != nil {
			return err
		}
	}
	p.Key = hex.EncodeToString(key.Sum(nil))
	return nil
}

// addPackage takes a package's module into account, and where that is the main
// module, which has no version, the package's files.
func (p *Program) addPackage(key io.Writer, l listing) error {
	if l.Standard || l.Module == nil {
		return nil
	}
	if !l.local() {
		module := Module{l.Module.Path, l.Module.Version}
		if l.Module.Replace != nil {
			module = *l.Module.Replace
		}
		if !slices.Contains(p.Modules, module) {
			p.Modules = append(p.Modules, module)
		}
		return nil
	}
	p.Local = true
	for _, name := range l.files() {
		content, err := os.ReadFile(filepath.Join(l.Dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(key, "%s/%s %x\n", l.ImportPath, name, sha256.Sum256(content))
	}
	return nil
}

// identifyC writes what decides the C part of a program: compiler, linker and archives.
func (c *Compiler) identifyC(ctx context.Context, key io.Writer, libraries []string) error {
	for _, tool := range []string{"gcc", "ld"} {
		version, err := c.run(ctx, tool, "--version")
		if err != nil {
			return hint.Add(fmt.Errorf("find the C compiler: %w", err), "run scripts/setup")
		}
		line, _, _ := bytes.Cut(version, []byte("\n"))
		fmt.Fprintf(key, "%s\n", line)
	}
	for _, library := range libraries {
		path, err := c.Library(ctx, library)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(key, "%s %x\n", library, sha256.Sum256(content))
	}
	return nil
}

// list asks the Go tool about packages and all they import. Where none of them
// is of the main module the answer depends on go.mod alone, and is remembered.
func (c *Compiler) list(ctx context.Context, command Command, packages []string) ([]listing, error) {
	memo, err := c.memo(command, packages)
	if err != nil {
		return nil, err
	}
	if answer, ok := cache.ReadMemo(memo); ok {
		return decodeListing(answer)
	}
	args := []string{"list", "-deps", "-json=" + listingFields, "-tags=" + strings.Join(command.Tags, ",")}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir = c.Module
	cmd.Env = environ(command.cgo())
	answer, err := output(cmd)
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(packages, " "), err)
	}
	listed, err := decodeListing(answer)
	if err != nil || slices.ContainsFunc(listed, listing.local) {
		return listed, err
	}
	return listed, writeListing(memo, listed)
}

// memo is the file that remembers an answer of list.
func (c *Compiler) memo(command Command, packages []string) (string, error) {
	gomod, err := os.ReadFile(filepath.Join(c.Module, "go.mod"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%q\n%v\n%q\n", keyVersion, c.goVersion, gomod, command.Tags, command.cgo(), packages)
	return filepath.Join(c.Cache, "lists", hex.EncodeToString(h.Sum(nil))+".json"), nil
}

// decodeListing reads JSON objects one after the other.
func decodeListing(answer []byte) ([]listing, error) {
	var listed []listing
	for d := json.NewDecoder(bytes.NewReader(answer)); ; {
		var l listing
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return listed, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the answer of go list: %w", err)
		}
		listed = append(listed, l)
	}
}

// writeListing keeps of the packages what identify needs.
func writeListing(memo string, listed []listing) error {
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	for _, l := range listed {
		kept := listing{ImportPath: l.ImportPath, Standard: l.Standard, DepOnly: l.DepOnly, Module: l.Module}
		if !l.DepOnly {
			kept.Deps = l.Deps
		}
		if err := encoder.Encode(kept); err != nil {
			return err
		}
	}
	return cache.WriteMemo(memo, content.Bytes())
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d %s\n", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
