package testkit

import (
	"strings"
	"testing"
	"time"
)

// written is what a program of the tests writes.
type written struct {
	Name  string     `json:"name"`
	Steps []step     `json:"steps"`
	At    *time.Time `json:"at,omitempty"`
	Words string     `json:"words,omitempty"`
}

type step struct {
	Took int64 `json:"took"`
	Next *step `json:"next,omitempty"`
}

const good = "A file `words` and \"next\".\n\n<!-- example: x -->\n\n" + `    {"name": "a",
     "steps": [{"took": 7}, {"took": 8}],
     "at": "2026-11-30T18:00:00Z"}

Text goes on.
`

func TestExample(t *testing.T) {
	absent := []string{"words", "steps.next"}
	got, err := example[written](good, "x", absent)
	if err != nil || got.Name != "a" || len(got.Steps) != 2 || got.Steps[1].Took != 8 {
		t.Errorf("example = %+v, %v", got, err)
	}
	if _, err := example[written](strings.ReplaceAll(good, `{"took": 7}, {"took": 8}`, ""), "x", []string{"words", "steps.*"}); err != nil {
		t.Errorf("with the fields of steps elsewhere: %v", err)
	}
	for name, test := range map[string]struct {
		document string
		absent   []string
		want     string
	}{
		"no mark":              {strings.ReplaceAll(good, "example: x", "example: y"), absent, "has none of this name"},
		"no block":             {"<!-- example: x -->\ntext\n", absent, "no indented block"},
		"no JSON":              {"<!-- example: x -->\n    {…}\n", absent, "invalid character"},
		"a field of old":       {strings.ReplaceAll(good, `"took": 7`, `"took": 7, "old": 1`), absent, `unknown field "old"`},
		"a field is missing":   {strings.ReplaceAll(good, `"at":`, `"words":`), []string{"steps.next"}, "it lacks at"},
		"in no element":        {strings.ReplaceAll(good, `{"took": 7}, {"took": 8}`, ""), absent, "it lacks steps.took"},
		"absent, yet there":    {good, append([]string{"at"}, absent...), "it has at"},
		"absent, and unknown":  {good, append([]string{"since"}, absent...), "no field is called since"},
		"absent, and not told": {strings.ReplaceAll(good, "`words`", ""), absent, "does not name words"},
		"another form":         {strings.ReplaceAll(good, "18:00:00Z", "18:00:00.000Z"), absent, `would write`},
	} {
		if got, err := example[written](test.document, "x", test.absent); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, test.want)
		}
	}
}
