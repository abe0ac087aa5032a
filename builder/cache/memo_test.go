package cache

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "asked", "memo")
	if answer, ok := ReadMemo(path); ok {
		t.Errorf("before it was written: %q", answer)
	}
	for _, want := range []string{"", "one line\n", "two\nlines"} {
		if err := WriteMemo(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if answer, ok := ReadMemo(path); !ok || string(answer) != want {
			t.Errorf("ReadMemo = %q, %v; want %q", answer, ok, want)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"emptied": nil, "cut short": whole[:len(whole)-1], "longer": append(whole, 'x'),
		"changed": append([]byte("x"), whole[1:]...), "no digest": []byte("two\nlines"),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if answer, ok := ReadMemo(path); ok {
			t.Errorf("%s: ReadMemo = %q; want none", name, answer)
		}
	}
}
