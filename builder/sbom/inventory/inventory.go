// Package inventory is what a layer of the operating system says about itself:
// the file that `ketch layers build` puts into it and `ketch build` makes a bill
// of materials from. It holds what cannot be read from the files themselves any
// more: which package a file came from, and under which licence a Go module is.
package inventory

import (
	"encoding/json"
	"fmt"
)

// Layer lists the software in a layer.
type Layer struct {
	Layer  string    `json:"layer"`
	Own    *Module   `json:"own,omitempty"` // the module that the layer's own files are of
	Debian []Debian  `json:"debian,omitempty"`
	Go     []Program `json:"go,omitempty"`
	// Modules has the licence of every module that the programs are made of.
	Modules []Module `json:"modules,omitempty"`
}

// Debian is a binary package that gave files to the layer.
type Debian struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Architecture string   `json:"architecture,omitempty"`
	Source       string   `json:"source,omitempty"` // the source package, where its name or version differs: "glibc (2.36-9)"
	SHA256       string   `json:"sha256,omitempty"` // of the binary package
	Files        []string `json:"files,omitempty"`  // what it gave, by their paths in the layer
	// Of a package that is only linked, and has no copyright file in the image:
	Licence   string `json:"licence,omitempty"`   // SPDX expression, if the copyright file gives one
	Copyright string `json:"copyright,omitempty"` // SHA-256 of the copyright file
}

// Program is a Go program.
type Program struct {
	Path      string          `json:"path"` // in the layer; "ARCHIVE:PATH" in a container image that the layer carries
	Package   string          `json:"package"`
	Version   string          `json:"version,omitempty"` // of the module that holds the package
	Go        string          `json:"go"`                // release
	Libraries []string        `json:"libraries,omitempty"`
	Linked    []Debian        `json:"linked,omitempty"` // the packages that the libraries came from
	Modules   []ModuleVersion `json:"modules,omitempty"`
}

// ModuleVersion names a Go module.
type ModuleVersion struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Module is a Go module with its licence.
type Module struct {
	ModuleVersion
	Sum     string            `json:"sum,omitempty"`     // as go.sum has it: "h1:…"
	Licence string            `json:"licence,omitempty"` // SPDX expression; "" where its text is not a known one
	SHA256  map[string]string `json:"sha256,omitempty"`  // of its licence files, where there is no expression
}

// Parse reads a layer's inventory.
func Parse(data []byte) (*Layer, error) {
	var l Layer
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("inventory of a layer: %w", err)
	}
	return &l, nil
}
