package verity

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestRootHash(t *testing.T) {
	text := "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"
	root, err := ParseRootHash(strings.ToUpper(text))
	if err != nil || root[1] != 1 || root[31] != 0xff {
		t.Fatalf("ParseRootHash = %v, %v", root, err)
	}
	if got := fmt.Sprintf("%s %v", root, root); got != text+" "+text {
		t.Errorf("it prints as %q", got)
	}
	coded, err := json.Marshal(map[string]RootHash{"root": root})
	if err != nil || string(coded) != `{"root":"`+text+`"}` {
		t.Errorf("JSON is %s, %v", coded, err)
	}
	var back map[string]RootHash
	if err := json.Unmarshal(coded, &back); err != nil || back["root"] != root {
		t.Errorf("from JSON: %v, %v", back, err)
	}
	if root.IsZero() || !(RootHash{}).IsZero() {
		t.Error("IsZero tells the opposite")
	}
}

func TestParseRootHashRefuses(t *testing.T) {
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("0", 66), strings.Repeat("g", 64), " " + strings.Repeat("0", 63)} {
		if root, err := ParseRootHash(bad); err == nil || !root.IsZero() {
			t.Errorf("ParseRootHash(%q) = %v, %v; want an error", bad, root, err)
		}
	}
}
