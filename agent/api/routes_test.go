package api

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocumented: the table of docs/api.md is the table of routes.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile("(?m)^\\| `[A-Z]+ /v1/.*\\|$").FindAllString(string(text), -1)
	var want []string
	for _, r := range routes() {
		want = append(want, fmt.Sprintf("| `%s %s` | %s |", r.method, r.path, r.doc))
	}
	// The uses of ketchctl are a table of the same document, and begin otherwise.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/api.md (-routes +document):\n%s", diff)
	}
}
