package cli

import (
	"encoding/json"
	"io"
)

// JSON prints a value for a program, indented for a person.
func JSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
