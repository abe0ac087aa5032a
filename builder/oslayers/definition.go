package oslayers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/oslayers/gocmd"
)

// definition is a layer.yaml.
type definition struct {
	Description string            `yaml:"description"`
	Version     version           `yaml:"version"`
	Labels      map[string]string `yaml:"labels"`

	Kernel  *kernel           `yaml:"kernel"`
	EFI     map[string]string `yaml:"efi"` // path → C file in the layer's folder
	Debian  *debian           `yaml:"debian"`
	Go      []*program        `yaml:"go"`
	Busybox *busybox          `yaml:"busybox"`
	Images  []*image          `yaml:"images"`
	Copy    map[string]string `yaml:"copy"`  // path → file in the layer's folder that is not under files/
	Dirs    map[string]mode   `yaml:"dirs"`  // directories, which may be empty
	Links   links             `yaml:"links"` // symbolic links: path → target
	Modes   map[string]mode   `yaml:"modes"` // for entries that 0755 and 0644 do not suit

	name string // of the layer
	dir  string // with layer.yaml and files/
	yaml []byte
}

// version says where the version of the layer's main content is to be found.
type version struct {
	Module string `yaml:"module"` // the version of this Go module
	File   string `yaml:"file"`   // what this file of the layer says
}

// links are symbolic links: path → target.
type links map[string]string

// mode is permission bits, written in octal: 0755.
type mode fs.FileMode

// UnmarshalYAML reads the digits as they are written.
func (m *mode) UnmarshalYAML(node *yaml.Node) error {
	bits, err := strconv.ParseUint(strings.TrimPrefix(node.Value, "0o"), 8, 32)
	if err != nil || bits > 0o7777 {
		return fmt.Errorf("%q is not a mode such as 0755", node.Value)
	}
	*m = mode(bits)
	return nil
}

const (
	definitionFile = "layer.yaml"
	filesDir       = "files"
)

// layerName is what a layer, and so its tag and its folder, may be called.
var layerName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// find returns the names of the layers below source: every folder is one.
func find(source string) ([]string, error) {
	entries, err := os.ReadDir(source)
	if err != nil {
		return nil, fmt.Errorf("find layers: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("find layers: no folder in %s", source)
	}
	return names, nil
}

// load reads the definition of one layer.
func load(source, name string) (*definition, error) {
	file := filepath.Join(source, name, definitionFile)
	if !layerName.MatchString(name) {
		return nil, fmt.Errorf("layer %q: a name has only the characters a–z, 0–9 and -", name)
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		known, _ := find(source)
		if len(known) == 0 {
			return nil, hint.Add(fmt.Errorf("layer %s: %w", name, err), "there are no layers in %s: run it in a checkout of Ketch, or name their directory with --rootfs", source)
		}
		return nil, hint.Add(fmt.Errorf("layer %s: %w", name, err), "the layers are %s", strings.Join(known, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", name, err)
	}
	d, err := parse(file, content)
	if err != nil {
		return nil, err
	}
	d.name, d.dir = name, filepath.Dir(file)
	return d, nil
}

// parse reads a layer.yaml; errors start with file:line.
func parse(file string, content []byte) (*definition, error) {
	d := &definition{yaml: content}
	if err := yaml.Load(content, d, yaml.WithKnownFields()); err != nil {
		return nil, located(file, err)
	}
	if d.Description == "" {
		return nil, fmt.Errorf("%s: description is missing", file)
	}
	return d, nil
}

// unknownKey is how the YAML package words it; the type is of no use to a person.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)

// located is the first of the errors with its place.
func located(file string, err error) error {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return fmt.Errorf("%s: %w", file, err)
	}
	message := load.Message
	if cause := errors.Unwrap(load); cause != nil {
		message = cause.Error()
	}
	message = unknownKey.ReplaceAllString(message, "unknown key $1")
	return fmt.Errorf("%s:%d: %s", file, load.Mark.Line, message)
}

// commands are all Go commands of the layer.
func (d *definition) commands() []*program {
	commands := slices.Clone(d.Go)
	for _, i := range d.Images {
		commands = append(commands, &i.Program)
	}
	return commands
}

// program is a Go command and its place in the layer.
type program struct {
	gocmd.Command `yaml:",inline"`
	Path          string `yaml:"path"`

	resolved gocmd.Program
}
