package language

import (
	"encoding/json"
	"path"
	"strings"
)

// isModule says whether a directory is a package in a node_modules directory:
// node_modules/NAME or node_modules/@SCOPE/NAME.
func isModule(dir string) bool {
	parent := path.Dir(dir)
	if strings.HasPrefix(path.Base(parent), "@") {
		parent = path.Dir(parent)
	}
	return path.Base(parent) == "node_modules"
}

// npm reads a package.json. The licence is an expression, or in older ones an object.
func npm(data []byte) (Package, bool) {
	var file struct {
		Name    string          `json:"name"`
		Version string          `json:"version"`
		License json.RawMessage `json:"license"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Package{}, false
	}
	p := Package{Kind: "npm", Name: file.Name, Version: file.Version}
	if scope, name, ok := strings.Cut(file.Name, "/"); ok {
		p.Group, p.Name = scope, name
	}
	var old struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(file.License, &p.Licence) != nil && json.Unmarshal(file.License, &old) == nil {
		p.Licence = old.Type
	}
	return p, p.good()
}
