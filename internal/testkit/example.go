package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Example reads an example out of a document and holds it against the type of what
// the program writes: it has no field that the type lacks, the type gives the same
// JSON again, and no field of the type is missing from it. absent are the fields that
// it need not have, as paths ("steps.error"); the document must name those elsewhere.
// "boot.*" are the fields of boot, of which another document has the example.
//
// The example is the block of lines indented by four spaces that follows the line
//
//	<!-- example: NAME -->
//
// in the document. It may be laid out as a reader likes it.
func Example[T any](t testing.TB, document, name string, absent ...string) T {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	value, err := example[T](string(text), name, absent)
	if err != nil {
		t.Errorf("%s: example %s: %v", document, name, err)
	}
	return value
}

func example[T any](document, name string, absent []string) (value T, err error) {
	block, err := exampleBlock(document, name)
	if err != nil {
		return value, err
	}
	in := json.NewDecoder(strings.NewReader(block))
	in.DisallowUnknownFields()
	if err := in.Decode(&value); err != nil {
		return value, err
	}
	again, err := json.Marshal(value)
	if err != nil {
		return value, err
	}
	var written, read any
	if err := json.Unmarshal([]byte(block), &read); err != nil {
		return value, err
	}
	if err := json.Unmarshal(again, &written); err != nil {
		return value, err
	}
	if !reflect.DeepEqual(written, read) {
		return value, fmt.Errorf("the program would write\n%s", again)
	}
	return value, complete(document, read, reflect.TypeFor[T](), absent)
}

// exampleBlock is the text of an example, without its indent.
func exampleBlock(document, name string) (string, error) {
	_, rest, found := strings.Cut(document, "<!-- example: "+name+" -->\n")
	if !found {
		return "", fmt.Errorf("the document has none of this name")
	}
	var block bytes.Buffer
	for line := range strings.Lines(strings.TrimLeft(rest, "\n")) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			break
		}
		block.WriteString(text)
	}
	if block.Len() == 0 {
		return "", fmt.Errorf("no indented block follows its mark")
	}
	return block.String(), nil
}

// complete finds the fields of a type that an example lacks.
func complete(document string, example any, kind reflect.Type, absent []string) error {
	has := map[string]bool{}
	present(example, "", has)
	var missing []string
	for _, path := range fieldPaths(kind, "", nil) {
		excused := func(a string) bool {
			return path == a || strings.HasPrefix(path, strings.TrimSuffix(a, ".*")+".")
		}
		if !has[path] && !slices.ContainsFunc(absent, excused) {
			missing = append(missing, path)
		}
	}
	for _, path := range absent {
		path, below := strings.CutSuffix(path, ".*")
		field := path[strings.LastIndex(path, ".")+1:]
		switch {
		case below && has[path]:
		case has[path]:
			return fmt.Errorf("it has %s, which it was not to have", path)
		case !slices.Contains(fieldPaths(kind, "", nil), path):
			return fmt.Errorf("no field is called %s", path)
		case !strings.Contains(document, "`"+field+"`") && !strings.Contains(document, `"`+field+`"`):
			return fmt.Errorf("the document does not name %s", field)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("it lacks %s", strings.Join(missing, ", "))
	}
	return nil
}

// present notes the paths of the fields in a JSON value; those of all elements of a
// list are one.
func present(value any, prefix string, has map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			has[prefix+name] = true
			present(field, prefix+name+".", has)
		}
	case []any:
		for _, element := range value {
			present(element, prefix, has)
		}
	}
}

// fieldPaths lists the fields of a type as its JSON has them. above are the types
// that it is part of: one that holds itself is listed once.
func fieldPaths(kind reflect.Type, prefix string, above []reflect.Type) (paths []string) {
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice || kind.Kind() == reflect.Array {
		kind = kind.Elem()
	}
	text := reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()
	if kind.Kind() != reflect.Struct || kind.Implements(text) || slices.Contains(above, kind) {
		return nil
	}
	for i := range kind.NumField() {
		field := kind.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case field.Anonymous && name == "":
			paths = append(paths, fieldPaths(field.Type, prefix, append(above, kind))...)
		default:
			if name == "" {
				name = field.Name
			}
			paths = append(paths, prefix+name)
			paths = append(paths, fieldPaths(field.Type, prefix+name+".", append(above, kind))...)
		}
	}
	return paths
}
