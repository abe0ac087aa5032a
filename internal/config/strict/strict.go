// Package strict reads configuration, YAML or JSON, into Go values: what a value has
// no place for is a problem with a path, a line and a column, never ignored, and one
// problem does not hide the next or cost what is beside it.
//
// A document comes from outside and may be hostile. Its size, its depth and the
// number of its values are bounded, aliases counted as often as they are followed.
//
// Package yaml and package encoding/json decode, too. The one stops at a type that
// does not fit and tells no path, the other tells neither lines nor unknown names.
package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	// MaxSize bounds a document in bytes.
	MaxSize = 1 << 20
	// maxMarks bounds what can begin a value in it, before it is parsed: a value
	// takes two hundred times the memory of its mark.
	maxMarks = 100_000
	// maxValues bounds the values of a document, those behind aliases included.
	maxValues = 100_000
	// maxDepth bounds how deep they lie in each other.
	maxDepth = 64
	// maxProblems bounds what is told of one document.
	maxProblems = 100
)

// Problem is one thing that is wrong with a document.
type Problem struct {
	Source string `json:"source,omitempty"` // which document: a file, a URL, a part; empty where there is only one
	Path   string `json:"path,omitempty"`   // "files.0.mode"; empty: the document as a whole
	Line   int    `json:"line,omitempty"`   // from 1; 0: not known
	Column int    `json:"column,omitempty"` // in characters, from 1
	Text   string `json:"text"`
}

// Error is String: what leaves nothing of a document is returned as an error.
func (p Problem) Error() string { return p.String() }

// String is "SOURCE:LINE:COLUMN: PATH: TEXT", as far as it is known.
func (p Problem) String() string { return p.In("") }

// In is String for a document that is called source unless the problem says otherwise.
func (p Problem) In(source string) string {
	var parts []string
	place := cmp.Or(p.Source, source)
	if p.Line > 0 {
		if place == "" {
			place = fmt.Sprintf("line %d, column %d", p.Line, p.Column)
		} else {
			place = fmt.Sprintf("%s:%d:%d", place, p.Line, p.Column)
		}
	}
	for _, part := range []string{place, p.Path, p.Text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Within tells whether the problem is of the value at path or of one in it.
func (p Problem) Within(path string) bool {
	return p.Path == path || strings.HasPrefix(p.Path, path+".")
}

// Good returns what problems leave of the list at path.
func Good[T any](list []T, path string, problems []Problem) (good []T) {
	for i, item := range list {
		at := Join(path, strconv.Itoa(i))
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Within(at) }) {
			good = append(good, item)
		}
	}
	return good
}

// Join appends a name to a path.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Node is a value of a document, and where it is.
type Node struct {
	*yaml.Node
	Path string
	d    *Decoder
}

// Problem notes what is wrong with the value.
func (n Node) Problem(format string, args ...any) Problem { return n.d.problem(n, format, args...) }

// Entry is an entry of a mapping.
type Entry struct {
	Key   string
	Value Node
}

// Entries are those of a mapping, in order.
func (n Node) Entries() (list []Entry) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		list = append(list, Entry{key, Node{n.Content[i+1], Join(n.Path, key), n.d}})
	}
	return list
}

// Inside is the place of a line of a text, counted from 1: in a block of YAML the text
// begins below the place of its value.
func (n Node) Inside(line int) Node {
	moved := *n.Node
	if line > 0 {
		moved.Line, moved.Column = n.Line+line-1, 1
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			moved.Line++
		}
	}
	return Node{&moved, n.Path, n.d}
}

// Expanded is a copy of the value in which every alias is replaced by what it stands
// for.
func (n Node) Expanded() (*yaml.Node, error) { return n.d.expand(n.Node, maxDepth) }

func (d *Decoder) expand(node *yaml.Node, depth int) (*yaml.Node, error) {
	node = follow(node)
	if d.left--; d.left < 0 {
		return nil, fmt.Errorf("more than %d values, aliases followed", maxValues)
	}
	if node == nil || depth == 0 {
		return nil, errTooDeep
	}
	to := *node
	to.Anchor, to.Content = "", nil
	for _, child := range node.Content {
		expanded, err := d.expand(child, depth-1)
		if err != nil {
			return nil, err
		}
		to.Content = append(to.Content, expanded)
	}
	return &to, nil
}

// Find is the node at a path, or the deepest on the way to it that is there.
func (n Node) Find(path string) Node {
	if path == "" {
		return n
	}
	node := follow(n.Node)
	if node == nil {
		return n
	}
	best, rest := Node{}, ""
	consider := func(key string, value *yaml.Node) {
		if (path == key || strings.HasPrefix(path, key+".")) && (best.Node == nil || len(key) > len(path)-len(rest)-1) {
			best, rest = Node{value, Join(n.Path, key), n.d}, strings.TrimPrefix(path[len(key):], ".")
		}
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			consider(node.Content[i].Value, node.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			consider(strconv.Itoa(i), item)
		}
	}
	if best.Node == nil {
		return n
	}
	return best.Find(rest)
}

// follow leads to what an alias stands for.
func follow(node *yaml.Node) *yaml.Node {
	for limit := maxDepth; node != nil && node.Kind == yaml.AliasNode; limit-- {
		if limit == 0 {
			return nil
		}
		node = node.Alias
	}
	return node
}

// Decode reads the value into another, and tells whether that took no problem: how an
// Unmarshaler reads a part of its form that is a type of its own.
func (n Node) Decode(to any) bool {
	before := len(n.d.Problems)
	n.d.Decode(n, to)
	return len(n.d.Problems) == before
}

// Items are those of a list, in order.
func (n Node) Items() (list []Node) {
	for i, item := range n.Content {
		list = append(list, Node{item, Join(n.Path, strconv.Itoa(i)), n.d})
	}
	return list
}

// Bad tells whether a problem of the value, or of one in it, has been noted.
func (n Node) Bad() bool {
	return slices.ContainsFunc(n.d.Problems, func(p Problem) bool { return p.Within(n.Path) })
}
