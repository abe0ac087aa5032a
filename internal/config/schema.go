package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// Schema is a description of Ketch's own YAML as JSON Schema (draft 2020-12), made from
// the types that it is read into.
func Schema() ([]byte, error) {
	schema := structSchema[Config]()
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "Configuration of a Ketch machine"
	schema["required"] = []string{"ketch"}
	schema["properties"].(map[string]any)["ketch"].(map[string]any)["const"] = Version
	text, err := json.MarshalIndent(schema, "", "  ")
	return append(text, '\n'), err
}

func structSchema[T any]() map[string]any { return describe(reflect.TypeFor[T]()) }

// describe describes a type.
func describe(t reflect.Type) map[string]any {
	if custom, ok := reflect.New(t).Interface().(interface{ Schema() map[string]any }); ok {
		return custom.Schema()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.Struct:
		return describeStruct(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": describe(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	}
	return map[string]any{"type": []string{"string", "number"}} // a name of digits is a number to editors
}

func describeStruct(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" {
			continue
		}
		property := describe(f.Type)
		property["description"] = f.Tag.Get("doc")
		for tag, word := range map[string]string{"min": "minimum", "max": "maximum"} {
			if n, err := strconv.Atoi(f.Tag.Get(tag)); err == nil {
				property[word] = n
			}
		}
		if f.Tag.Get("need") == "true" {
			required = append(required, key)
		}
		properties[key] = property
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}
