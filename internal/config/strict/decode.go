package strict

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

var errTooDeep = fmt.Errorf("lies more than %d levels deep", maxDepth)

// Decoder reads the values of one document.
type Decoder struct {
	Problems []Problem
	// Tag names the struct tag that holds the keys: "yaml", which is the default, or "json".
	Tag string
	// Unknown is what is said of a key that has no place; default: that there is none.
	Unknown string

	left int // values that may still be read
}

// Unmarshaler is a type with a form of its own.
type Unmarshaler interface {
	// UnmarshalNode reads the value, and notes as problems what it cannot take.
	UnmarshalNode(n Node)
}

// Decode reads a document into the value that to points at. Keys are those of the
// struct tags; a field with the tag need:"true" must be there. A key without a place,
// and a value that is not of its place's type, is a problem; every other value is read.
// A list keeps its length: see Good.
func (d *Decoder) Decode(n Node, to any) { d.value(n, reflect.ValueOf(to).Elem(), maxDepth) }

// Sorted returns the problems in the order of their places.
func (d *Decoder) Sorted() []Problem {
	list := slices.Clone(d.Problems)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return list
}

// maxPath and maxText bound what is told of a problem, in bytes: what it quotes may be
// as long as the document.
const maxPath, maxText = 256, 512

// clip shortens text.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// problem notes a problem, once.
func (d *Decoder) problem(n Node, format string, args ...any) Problem {
	p := Problem{Path: clip(n.Path, maxPath), Line: n.Line, Column: n.Column, Text: clip(fmt.Sprintf(format, args...), maxText)}
	switch {
	case slices.Contains(d.Problems, p) || len(d.Problems) > maxProblems:
	case len(d.Problems) == maxProblems:
		d.Problems = append(d.Problems, Problem{Text: fmt.Sprintf("more than %d problems: the rest is not listed", maxProblems)})
	default:
		d.Problems = append(d.Problems, p)
	}
	return p
}

func (d *Decoder) value(n Node, to reflect.Value, depth int) {
	if n.Node = follow(n.Node); n.Node == nil {
		return
	}
	d.left--
	switch {
	case d.left == 0:
		n.Problem("more than %d values: the rest is not read", maxValues)
		return
	case d.left < 0:
		return
	case depth == 0:
		n.Problem("%v", errTooDeep)
		return
	}
	if custom, ok := to.Addr().Interface().(Unmarshaler); ok {
		custom.UnmarshalNode(n)
		return
	}
	if n.Tag == "!!null" {
		if d.Tag != "json" { // where null is how programs say that there is none
			n.Problem("has no value")
		}
		return
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		d.value(n, to.Elem(), depth)
	case reflect.Struct:
		d.mapping(n, to, depth)
	case reflect.Map:
		d.dictionary(n, to, depth)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			n.Problem("want a list")
			return
		}
		to.Set(reflect.MakeSlice(to.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.value(Node{item, Join(n.Path, strconv.Itoa(i)), d}, to.Index(i), depth-1)
		}
	default:
		d.scalar(n, to)
	}
}

func (d *Decoder) scalar(n Node, to reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		n.Problem("want %s, not a list or a mapping", kindName(to.Kind()))
		return
	}
	var err error
	switch to.Kind() {
	case reflect.String:
		if n.Tag != "!!str" && d.Tag == "json" {
			err = errors.New("want text in quotes")
			break
		}
		to.SetString(n.Value)
	case reflect.Bool:
		switch {
		case n.Tag == "!!bool" && n.Value == "true", n.Tag == "!!bool" && n.Value == "false":
			to.SetBool(n.Value == "true")
		default:
			err = fmt.Errorf("%q is neither true nor false", n.Value)
		}
	case reflect.Int:
		var number int64
		if n.Tag != "!!int" || !plainNumber(n.Value) {
			err = fmt.Errorf("%q is not a whole number", n.Value)
		} else if number, err = strconv.ParseInt(n.Value, 10, 0); err != nil {
			err = fmt.Errorf("%q is out of range", n.Value)
		}
		to.SetInt(number)
	default:
		panic("strict: no form for " + to.Type().String())
	}
	if err != nil {
		n.Problem("%v", err)
	}
}

// plainNumber tells whether a number means the same to everybody: 0644 does not.
func plainNumber(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
}

func kindName(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// keys calls f for each entry of a mapping whose key is a word, and has not been
// there before.
func (d *Decoder) keys(n Node, f func(key string, keyNode, value Node)) {
	if n.Kind != yaml.MappingNode {
		n.Problem("want a mapping, that is KEY: VALUE")
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := Node{key, Join(n.Path, key.Value), d}
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!null":
			Node{key, n.Path, d}.Problem("want a word as key")
		case key.Tag == "!!merge":
			at.Problem("merge keys are not supported")
		case seen[key.Value]:
			at.Problem("is there twice")
		default:
			seen[key.Value] = true
			f(key.Value, at, Node{n.Content[i+1], at.Path, d})
		}
	}
}

func (d *Decoder) mapping(n Node, to reflect.Value, depth int) {
	fields := d.fields(to.Type())
	there := make(map[string]bool)
	d.keys(n, func(key string, at, value Node) {
		there[key] = true
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			at.Problem("%s", d.unknown(key, fields))
			return
		}
		d.value(value, to.FieldByIndex(fields[i].index), depth-1)
	})
	for _, f := range fields {
		if f.needed && !there[f.key] && n.Kind == yaml.MappingNode {
			n.Problem("%s is missing", f.key)
		}
	}
}

// unknown says that there is no such key, and which was probably meant.
func (d *Decoder) unknown(key string, fields []field) string {
	for _, f := range fields {
		if strings.EqualFold(plain(key), plain(f.key)) {
			return fmt.Sprintf("there is no such key; it is written %s", f.key)
		}
	}
	return cmp.Or(d.Unknown, "there is no such key")
}

func plain(key string) string { return strings.NewReplacer("-", "", "_", "").Replace(key) }

func (d *Decoder) dictionary(n Node, to reflect.Value, depth int) {
	to.Set(reflect.MakeMap(to.Type()))
	d.keys(n, func(key string, _, value Node) {
		item := reflect.New(to.Type().Elem()).Elem()
		d.value(value, item, depth-1)
		to.SetMapIndex(reflect.ValueOf(key), item)
	})
}

// field is a field of a struct that has a key.
type field struct {
	key    string
	index  []int
	needed bool
}

func (d *Decoder) fields(t reflect.Type) (list []field) {
	tag := cmp.Or(d.Tag, "yaml")
	for _, f := range reflect.VisibleFields(t) {
		key, _, _ := strings.Cut(f.Tag.Get(tag), ",")
		if key != "" && key != "-" && f.IsExported() {
			list = append(list, field{key, f.Index, f.Tag.Get("need") == "true"})
		}
	}
	return list
}
