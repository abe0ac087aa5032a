package cache

import (
	"bytes"
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

// FuzzReadMemo: an answer is taken only from a file that WriteMemo would have written.
func FuzzReadMemo(f *testing.F) {
	f.Add(sealed([]byte("an answer\n")))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "memo")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if answer, ok := ReadMemo(path); ok != bytes.Equal(content, sealed(answer)) {
			t.Errorf("ReadMemo = %q, %v", answer, ok)
		}
	})
}
