package inventory

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse reads what may be no inventory; one that is read is the same when it is
// written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"layer":"base","programs":[{"path":"usr/bin/x","package":"p","go":"go1.25","modules":[{"path":"m","version":"v1"}]}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("Parse(%s): %v", text, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(text) {
			t.Errorf("written again (-first +second):\n%s", cmp.Diff(string(text), string(second)))
		}
	})
}
