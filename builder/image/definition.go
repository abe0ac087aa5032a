package image

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/input"
	"github.com/ketch-os/ketch/builder/tree"
)

// Definition says what an image is made of: one YAML file per platform.
type Definition struct {
	File     string // the file it was read from
	Name     string
	Version  string
	Released time.Time
	Platform string
	Images   []ImageRef // bottom up
	// Workloads are the Compose files that the definition itself brings.
	Workloads []Workload
	// Config is the configuration that the machine has without any other.
	Config  MachineConfig
	Cmdline []string // kernel parameters, in order
	// Drop lists paths of the merged tree that are left out on purpose.
	Drop []Line
	// Policy decides about overwrites between images, the usr-merge conflict and
	// foreign extended attributes.
	Policy tree.Policy
	// SlotFill is the part of a slot that usr may fill, 0.5 unless the definition says otherwise.
	SlotFill float64
	// SectorSize is that of the disks the image is for, in bytes: 512 or 4096.
	SectorSize int64
	// Enroll makes the image enrol its keys in firmware that is in setup mode:
	// "off", "manual" (a menu entry), or "force" (at the next boot).
	Enroll string
}

// Line is an entry of a definition's list, and where it stands. The place is no
// part of what an image is made of: it is left out of JSON.
type Line struct {
	Text   string
	File   string `json:"-"`
	Number int    `json:"-"`
}

// Origin tells where the line stands: "images/qemu.yaml:7".
func (l Line) Origin() string { return fmt.Sprintf("%s:%d", l.File, l.Number) }

// ImageRef is a container image that a definition names.
type ImageRef struct {
	Ref  string
	Dir  string // relative references start here
	File string
	Line int
}

// Origin tells where the reference stands: "images/qemu.yaml:7", or "" for one
// that stands in no definition.
func (r ImageRef) Origin() string {
	if r.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", r.File, r.Line)
}

func (r ImageRef) wrap(err error) error {
	if r.File == "" {
		return err
	}
	return fmt.Errorf("definition %s: %w", r.Origin(), err)
}

// file is the YAML form of a definition.
type file struct {
	Extends   string      `yaml:"extends"`
	Name      string      `yaml:"name"`
	Version   string      `yaml:"version"`
	Released  time.Time   `yaml:"released"`
	Platform  string      `yaml:"platform"`
	Images    []yaml.Node `yaml:"images"`
	Workloads []workload  `yaml:"workloads"`
	Config    yaml.Node   `yaml:"config"`
	Cmdline   []string    `yaml:"cmdline"`
	Drop      []yaml.Node `yaml:"drop"`
	Policy    policy      `yaml:"policy"`
	SlotFill  float64     `yaml:"slot-fill"`
	Sectors   int64       `yaml:"sector-size"`
	Enroll    yaml.Node   `yaml:"enroll"`
}

// policy is the YAML form of tree.Policy.
type policy struct {
	Overwrites yaml.Node   `yaml:"overwrites"`
	UsrMerge   yaml.Node   `yaml:"usr-merge"`
	Xattrs     []yaml.Node `yaml:"xattrs"`
}

// maxExtends bounds a chain of definitions.
const maxExtends = 8

// LoadDefinition reads a definition and those it extends: lists add up, the
// extended one's first; a value replaces the extended one's.
func LoadDefinition(path string) (*Definition, error) {
	d := &Definition{Policy: tree.Policy{Links: tree.LinksError, Overwrites: tree.OverwritesAllow}, SlotFill: 0.5, SectorSize: 512, Enroll: "off"}
	if err := d.load(path, maxExtends); err != nil {
		return nil, err
	}
	d.File = path
	return d, d.validate()
}

func (d *Definition) load(path string, depth int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return input.Explain(fmt.Errorf("read definition: %w", err), "a definition is a YAML file that says what an image is made of: ketch build --help")
	}
	f, err := parse(data)
	if err != nil {
		return hint.Else(unreadable(path, err), "docs/definition.md lists the keys of a definition")
	}
	if f.Extends != "" {
		if depth == 0 {
			return fmt.Errorf("definition %s: extends: more than %d definitions deep; do they extend each other?", path, maxExtends)
		}
		extended := f.Extends
		if !filepath.IsAbs(extended) {
			extended = filepath.Join(filepath.Dir(path), extended)
		}
		if err := d.load(extended, depth-1); err != nil {
			return err
		}
	}
	return d.add(f, path)
}

// unreadable is the error of a definition that is not read: each fault of the YAML with
// its line and column, where package yaml tells them.
func unreadable(path string, err error) error {
	var faults []*yaml.LoadError
	if several, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		faults = several.Errors
	} else if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		faults = append(faults, one)
	}
	var all []error
	for _, f := range faults {
		if f.Mark.Line > 0 {
			all = append(all, fmt.Errorf("definition %s:%d:%d: %s", path, f.Mark.Line, max(f.Mark.Column, 1), f.Message))
		}
	}
	if len(all) == 0 || len(all) < len(faults) {
		return fmt.Errorf("definition %s: %w", path, err)
	}
	return errors.Join(all...)
}

// parse decodes one document strictly: an unknown key is an error with its line.
func parse(data []byte) (*file, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is no text in UTF-8")
	}
	var document yaml.Node
	if yaml.Unmarshal(data, &document) == nil && len(document.Content) > 0 && document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("has no keys: want lines such as name: …, version: …, images: …")
	}
	var f file
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithKnownFields())
	if err != nil {
		return nil, err
	}
	if err := loader.Load(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("is empty")
		}
		return nil, err
	}
	if err := loader.Load(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document")
	}
	return &f, nil
}

// add takes over what a file says: lists add up, a value replaces the one before.
func (d *Definition) add(f *file, path string) error {
	override(&d.Name, f.Name)
	override(&d.Version, f.Version)
	override(&d.Platform, f.Platform)
	override(&d.SlotFill, f.SlotFill)
	override(&d.SectorSize, f.Sectors)
	if !f.Released.IsZero() {
		d.Released = f.Released.UTC()
	}
	d.Cmdline = append(d.Cmdline, f.Cmdline...)
	for _, node := range f.Drop {
		line := Line{File: path, Number: node.Line}
		if err := node.Decode(&line.Text); err != nil || line.Text == "" {
			return fmt.Errorf("definition %s: drop: want a path of the merged tree", line.Origin())
		}
		d.Drop = append(d.Drop, line)
	}
	refs, err := imageRefs("images", f.Images, path)
	if err != nil {
		return err
	}
	d.Images = append(d.Images, refs...)
	if err := d.addWorkloads(f.Workloads, path); err != nil {
		return err
	}
	if err := d.setConfig(f.Config, path); err != nil {
		return err
	}
	for _, node := range f.Policy.Xattrs {
		var pattern string
		if err := node.Decode(&pattern); err != nil || (tree.Policy{Xattrs: []string{pattern}}).Check() != nil {
			return fmt.Errorf("definition %s:%d: policy: xattrs: want a pattern for names of extended attributes, such as com.apple.*", path, node.Line)
		}
		d.Policy.Xattrs = append(d.Policy.Xattrs, pattern)
	}
	if err := d.choose(f); err != nil {
		return fmt.Errorf("definition %s:%w", path, err)
	}
	return nil
}

// choose takes over the keys that have a few words to choose from.
func (d *Definition) choose(f *file) error {
	return cmp.Or(
		oneOf(&d.Policy.Overwrites, "policy: overwrites", f.Policy.Overwrites, tree.OverwritesAllow, tree.OverwritesError),
		oneOf(&d.Policy.Links, "policy: usr-merge", f.Policy.UsrMerge, tree.LinksError, tree.LinksFollow, tree.LinksReplace),
		oneOf(&d.Enroll, "enroll", f.Enroll, "off", "manual", "force"),
	)
}

// oneOf sets value to the word at node, where there is one. The error starts with the line.
func oneOf[T ~string](value *T, key string, node yaml.Node, words ...T) error {
	if node.IsZero() {
		return nil
	}
	var word T
	if err := node.Decode(&word); err != nil || !slices.Contains(words, word) {
		return fmt.Errorf("%d: %s: %q: want one of %q", node.Line, key, node.Value, words)
	}
	*value = word
	return nil
}

// SectorSizes are those of the disks that images can be built for, in bytes.
func SectorSizes() []int64 { return []int64{512, 4096} }

func override[T comparable](value *T, with T) {
	var zero T
	if with != zero {
		*value = with
	}
}

// versionForm keeps a version usable in partition labels (36 characters with
// ketch_ and _verity), file names on FAT and boot-entry names (UAPI.1).
var versionForm = regexp.MustCompile(`^[0-9][A-Za-z0-9.-]{0,22}$`)

// platformForm is what os-release(5) allows in VARIANT_ID. Shells source that
// file: nothing in it may end a quote or start a command.
var platformForm = regexp.MustCompile(`^[a-z0-9._-]{1,64}$`)

func (d *Definition) validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("definition %s: %s", d.File, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Name == "":
		return fail("name: missing")
	case strings.ContainsAny(d.Name, "\"\\$`\n"):
		return fail("name: %q has a character that os-release cannot carry", d.Name)
	case !versionForm.MatchString(d.Version):
		return fail("version: %q: want a digit, then up to 22 letters, digits, dots and hyphens", d.Version)
	case d.Platform != "" && !platformForm.MatchString(d.Platform):
		return fail("platform: %q: want small letters, digits, dots, hyphens and underscores", d.Platform)
	case d.Released.IsZero():
		return fail("released: missing; give the time of the release, such as 2026-11-22T00:00:00Z")
	case d.Released.Year() < 1980 || d.Released.Year() > 2107:
		return fail("released: %s is outside what FAT can hold, 1980 to 2107", d.Released.Format(time.RFC3339))
	case len(d.Images) == 0:
		return fail("images: none; an image is made of at least one container image")
	case !(d.SlotFill > 0 && d.SlotFill <= 1): // NaN is neither
		return fail("slot-fill: %v: want a part of a slot, above 0 and up to 1", d.SlotFill)
	case !slices.Contains(SectorSizes(), d.SectorSize):
		return fail("sector-size: %d: want 512 or 4096, the bytes of a logical sector", d.SectorSize)
	}
	return d.validateCmdline(fail)
}

// ownedParameters are written by the builder itself: given twice, PID 1 refuses to boot.
var ownedParameters = []string{"usrhash", "ketch.version", "ketch.dev", "init", "rdinit", "root"}

func (d *Definition) validateCmdline(fail func(string, ...any) error) error {
	for _, parameter := range d.Cmdline {
		key, _, _ := strings.Cut(parameter, "=")
		if slices.Contains(ownedParameters, key) {
			return fail("cmdline: %q: the builder sets %s itself", parameter, key)
		}
		for _, r := range parameter {
			if r <= ' ' || r > '~' {
				return fail("cmdline: %q: one parameter an entry, printable ASCII without blanks", parameter)
			}
		}
		if parameter == "" {
			return fail("cmdline: an empty parameter")
		}
	}
	return nil
}
