package rootfs

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"ketch/builder/rootfs/gocmd"
)

// recordDir holds one file for each layer that says what the layer is made of.
const recordDir = "usr/share/ketch/packages"

// record lists the foreign software in a layer.
type record struct {
	Layer  string          `json:"layer"`
	Debian []debianPackage `json:"debian,omitempty"`
	Go     []goProgram     `json:"go,omitempty"`
}

type debianPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Source  string `json:"source,omitempty"` // the source package, where its name or version differs
	SHA256  string `json:"sha256"`           // of the binary package
}

type goProgram struct {
	Path      string         `json:"path"` // in the layer
	Package   string         `json:"package"`
	Version   string         `json:"version,omitempty"` // of the module that holds the package
	Go        string         `json:"go"`                // release
	Libraries []string       `json:"libraries,omitempty"`
	Modules   []gocmd.Module `json:"modules,omitempty"`
}

// addProgram records a program by what the Go linker wrote into it.
func (r *record) addProgram(path, binary string, p gocmd.Program) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	program := goProgram{Path: path, Package: p.Package, Version: p.Version, Go: info.GoVersion, Libraries: p.Libraries}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		program.Modules = append(program.Modules, gocmd.Module{Path: dep.Path, Version: dep.Version})
	}
	r.Go = append(r.Go, program)
	return nil
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

func (recorded) inputs(context.Context, *build) ([]string, error) { return nil, nil }

func (recorded) apply(_ context.Context, _ *build, l *layer) error {
	if l.record.Debian == nil && l.record.Go == nil {
		return nil
	}
	slices.SortFunc(l.record.Debian, func(a, b debianPackage) int { return strings.Compare(a.Name, b.Name) })
	content, err := json.MarshalIndent(l.record, "", "  ")
	if err != nil {
		return err
	}
	return l.files.add(recordDir+"/"+l.name+".json", regular(plain, inMemory(append(content, '\n'))))
}

// digestFile is the SHA-256 of a file's content, in hex.
func digestFile(s source) (string, error) {
	r, err := s.open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	_, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}
