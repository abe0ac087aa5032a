package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"go.yaml.in/yaml/v4"
)

// document is a Compose file as YAML nodes. compose-go tells no lines, and
// nothing at all of a file that it refuses: both are found here. A file may be a
// stream of several YAML documents, which compose-go merges.
type document []*yaml.Node

// maxDepth bounds how many aliases, merges and levels a search goes down: an
// alias may lie in what it is an alias of.
const maxDepth = 32

// readYAML reads a file up to the first error of YAML's grammar.
func readYAML(text []byte) (document, error) {
	in, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var doc document
	for {
		node := new(yaml.Node)
		if err := in.Load(node); errors.Is(err, io.EOF) {
			return doc, nil
		} else if err != nil {
			return doc, err
		}
		if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
			node = node.Content[0]
		}
		doc = append(doc, node)
	}
}

// project is the name of the project: the file's own or that of its path.
func (d document) project(path string) string {
	for _, root := range d {
		if name := find(root, "name", maxDepth).value; name != nil && name.Kind == yaml.ScalarNode {
			return name.Value
		}
	}
	return pathProject(path)
}

// pathProject is the name that a file's path gives its project: the file's name,
// or the directory's where the file's is the one that every Compose file has.
func pathProject(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if base == "compose" || base == "docker-compose" {
		if whole, err := filepath.Abs(path); err == nil {
			base = filepath.Base(filepath.Dir(whole))
		}
	}
	return loader.NormalizeProjectName(base)
}

// Project is the name of the project of a Compose file at path.
func Project(path string, text []byte) string {
	doc, _ := readYAML(text)
	return doc.project(path)
}

// Line is where a field stands in a Compose file, 0 when it cannot be told.
func Line(text []byte, field string) int {
	doc, _ := readYAML(text)
	return doc.line(field)
}

// line is where a field stands, or the deepest part of it that is in the file; 0
// when there is none.
func (d document) line(field string) (line int) {
	deepest := 0
	for _, root := range d {
		if at, depth := search(root, field, maxDepth); depth > deepest {
			line, deepest = at, depth
		}
	}
	return line
}

// search goes down the path of a field. depth is how much of it was found, in
// bytes. A key may hold dots itself, so the longest that fits counts.
func search(node *yaml.Node, field string, limit int) (line, depth int) {
	node = resolve(node)
	if node == nil || field == "" || limit == 0 {
		return 0, 0
	}
	if node.Kind == yaml.SequenceNode {
		index, rest, _ := strings.Cut(field, ".")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(node.Content) {
			return 0, 0
		}
		return deeper(node.Content[i].Line, len(index), node.Content[i], rest, limit)
	}
	var best pair
	for _, p := range pairs(node, limit) {
		fits := field == p.key.Value || strings.HasPrefix(field, p.key.Value+".")
		if fits && (best.key == nil || len(p.key.Value) > len(best.key.Value)) {
			best = p
		}
	}
	if best.key == nil {
		return 0, 0
	}
	rest := strings.TrimPrefix(field[len(best.key.Value):], ".")
	return deeper(best.key.Line, len(best.key.Value), best.value, rest, limit)
}

func deeper(line, depth int, node *yaml.Node, rest string, limit int) (int, int) {
	if at, more := search(node, rest, limit-1); more > 0 {
		return at, depth + more
	}
	return line, depth
}

// pair is an entry of a mapping.
type pair struct{ key, value *yaml.Node }

// find returns the entry of a key, the zero pair when there is none.
func find(node *yaml.Node, key string, limit int) pair {
	for _, p := range pairs(resolve(node), limit) {
		if p.key.Value == key {
			return p
		}
	}
	return pair{}
}

// pairs lists a mapping's own entries, and then those that it merges in
// (YAML merge keys, "<<").
func pairs(node *yaml.Node, limit int) (list []pair) {
	if node == nil || node.Kind != yaml.MappingNode || limit == 0 {
		return nil
	}
	var merged []pair
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Value != "<<" {
			list = append(list, pair{key, value})
			continue
		}
		from := []*yaml.Node{value}
		if sequence := resolve(value); sequence != nil && sequence.Kind == yaml.SequenceNode {
			from = sequence.Content
		}
		for _, f := range from {
			merged = append(merged, pairs(resolve(f), limit-1)...)
		}
	}
	return append(list, merged...)
}

// resolve follows aliases.
func resolve(node *yaml.Node) *yaml.Node {
	for limit := maxDepth; node != nil && node.Kind == yaml.AliasNode; limit-- {
		if limit == 0 {
			return nil
		}
		node = node.Alias
	}
	return node
}

var (
	// yamlLine is how package yaml tells a line.
	yamlLine = regexp.MustCompile(`line (\d+)(?:, column \d+)?: `)
	// fieldForms are how compose-go names a field in the text of an error.
	fieldForms = regexp.MustCompile(`[A-Za-z_][\w-]*(?:[.\[]+[\w.\[\]-]+)*`)
	// serviceForm is how it names a service.
	serviceForm = regexp.MustCompile(`service "([^"]+)"`)
)

// fault makes a Fault of an error of package yaml or compose-go: its text is
// searched for a line, or for a field that has one.
func (d document) fault(path string, err error) *Fault {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, prefix := range []string{"failed to parse " + path + ": ", "validating " + path + ": ", "yaml: ", "construct errors: ", "decoding failed due to the following error(s): "} {
		text = strings.TrimPrefix(text, prefix)
	}
	text = strings.TrimSuffix(text, ": invalid compose project")
	if field, ok := strings.CutSuffix(text, " false schema"); ok {
		text = field + " is nothing that the Compose specification knows"
	}
	fault := &Fault{File: path}
	if grammar := new(yaml.LoadError); errors.As(err, &grammar) && grammar.Mark.Line > 0 {
		fault.Line, text = grammar.Mark.Line, grammar.Message
	}
	if all := yamlLine.FindAllStringSubmatch(text, -1); all != nil { // the last is the nearest
		fault.Line, _ = strconv.Atoi(all[len(all)-1][1])
		text = yamlLine.ReplaceAllString(text, "")
	}
	if found := serviceForm.FindStringSubmatch(text); found != nil && fault.Line == 0 {
		fault.Line = d.line("services." + found[1])
	}
	for _, form := range fieldForms.FindAllString(text, -1) {
		if fault.Line == 0 && strings.ContainsAny(form, ".[") || d.line(form) > 0 && fault.Line == 0 {
			fault.Line = d.line(plainField(form))
		}
	}
	fault.Err = fmt.Errorf("%s", text)
	return fault
}

// plainField writes services[web].labels.[0] as services.web.labels.0.
func plainField(form string) string {
	parts := strings.FieldsFunc(form, func(r rune) bool { return strings.ContainsRune(".[]", r) })
	return strings.Join(parts, ".")
}
