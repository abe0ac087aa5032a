package cli

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/ketch-os/ketch/internal/printable"
)

// JSON prints a value for a program, indented for a person.
func JSON(w io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(printable.JSON(text.Bytes())) // a person may look at it
	return err
}
