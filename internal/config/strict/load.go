package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// YAML reads a document of YAML 1.2: one, and no more.
func YAML(text []byte) (*Decoder, Node, error) {
	if err := bounded(text); err != nil {
		return nil, Node{}, err
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, Node{}, err
	}
	node := new(yaml.Node)
	if err := loader.Load(node); errors.Is(err, io.EOF) {
		return nil, Node{}, Problem{Text: "is empty"}
	} else if err != nil {
		return nil, Node{}, grammar(err)
	}
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	if err := loader.Load(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, Node{}, Problem{Text: "holds more than one YAML document"}
	}
	return start(node)
}

// JSON reads a document of JSON (RFC 8259).
func JSON(text []byte) (*Decoder, Node, error) {
	if err := bounded(text); err != nil {
		return nil, Node{}, err
	}
	r := &jsonReader{text: text, in: json.NewDecoder(bytes.NewReader(text))}
	r.in.UseNumber()
	for i, b := range text {
		if b == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	node, err := r.value(0)
	if err == nil {
		if _, err = r.in.Token(); errors.Is(err, io.EOF) {
			return start(node)
		} else if err == nil {
			err = errors.New("more follows after the document's end")
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	line, column := r.next() // the offset that package json tells begins anew with each token
	return nil, Node{}, Problem{Line: line, Column: column, Text: err.Error()}
}

func start(node *yaml.Node) (*Decoder, Node, error) {
	d := &Decoder{left: maxValues}
	return d, Node{node, "", d}, nil
}

// ProblemOf is what an error says, as a Problem.
func ProblemOf(err error) Problem {
	var p Problem
	if errors.As(err, &p) {
		return p
	}
	return Problem{Text: err.Error()}
}

// bounded refuses what would take too much memory to parse.
func bounded(text []byte) error {
	if len(text) > MaxSize {
		return Problem{Text: fmt.Sprintf("%d bytes are over the limit of %d", len(text), MaxSize)}
	}
	marks := 0
	for _, b := range text {
		switch b {
		case '\n', ',', '[', '{', ':', '-', '?', '&', '*':
			marks++
		}
	}
	if marks > maxMarks {
		return Problem{Text: fmt.Sprintf("over the limit of %d lines, commas, colons, dashes and brackets; large content is better given as base64, gzipped", maxMarks)}
	}
	if !utf8.Valid(text) {
		return Problem{Text: "is not text in UTF-8"}
	}
	return nil
}

// grammar is an error of package yaml's parser.
func grammar(err error) Problem {
	load := new(yaml.LoadError)
	if !errors.As(err, &load) {
		return Problem{Text: err.Error()}
	}
	return Problem{Line: load.Mark.Line, Column: max(load.Mark.Column, 1), Text: load.Message}
}

// jsonReader makes nodes of JSON. Package yaml reads most of it, but not the halves
// of surrogate pairs, nor every tab.
type jsonReader struct {
	text  []byte
	in    *json.Decoder
	lines []int // where each line but the first begins
}

func (r *jsonReader) place(at int) (line, column int) {
	line = sort.Search(len(r.lines), func(i int) bool { return r.lines[i] > at })
	begin := 0
	if line > 0 {
		begin = r.lines[line-1]
	}
	return line + 1, utf8.RuneCount(r.text[begin:min(at, len(r.text))]) + 1
}

// next is where the next token begins.
func (r *jsonReader) next() (line, column int) {
	at := int(r.in.InputOffset())
	for at < len(r.text) && bytes.IndexByte([]byte(" \t\r\n,:"), r.text[at]) >= 0 {
		at++
	}
	return r.place(at)
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	node := new(yaml.Node)
	node.Line, node.Column = r.next()
	token, err := r.in.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		if token == '{' {
			node.Kind, node.Tag = yaml.MappingNode, "!!map"
		}
		for r.in.More() {
			item, err := r.value(depth + 1) // a key, too, is one
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, item)
		}
		_, err = r.in.Token()
		return node, err
	case string:
		node.Tag, node.Value = "!!str", token
	case json.Number:
		node.Tag, node.Value = "!!int", token.String()
	case bool:
		node.Tag, node.Value = "!!bool", fmt.Sprint(token)
	case nil:
		node.Tag = "!!null"
	}
	node.Kind = yaml.ScalarNode
	return node, nil
}
