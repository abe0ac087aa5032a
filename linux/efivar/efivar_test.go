package efivar

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

func TestText(t *testing.T) {
	vars := fstest.MapFS{
		"path":  {Data: []byte("\x06\x00\x00\x00\\\x00a\x00+\x003\x00\x00\x00")},
		"usec":  {Data: []byte("\x06\x00\x00\x001\x002\x00\x00\x00")},
		"empty": {Data: []byte("\x06\x00\x00\x00")},
		"odd":   {Data: []byte("\x06\x00\x00\x001")},
		"short": {Data: []byte("\x06\x00")},
	}
	for file, want := range map[string]string{"path": `\a+3`, "usec": "12", "empty": ""} {
		if got, err := text(vars, file); got != want || err != nil {
			t.Errorf("text(%s) = %q, %v; want %q", file, got, err, want)
		}
	}
	for _, file := range []string{"odd", "short"} {
		if got, err := text(vars, file); err == nil {
			t.Errorf("text(%s) = %q; want an error", file, got)
		}
	}
	if _, err := text(vars, "none"); !errors.Is(err, ErrNone) {
		t.Errorf("text(none) = %v; want ErrNone", err)
	}
	if got, err := usec(vars, "usec"); got != 12 || err != nil {
		t.Errorf("usec = %d, %v; want 12", got, err)
	}
	if got, err := usec(vars, "path"); err == nil {
		t.Errorf("usec(path) = %d; want an error", got)
	}
}

func TestFlag(t *testing.T) {
	vars := fstest.MapFS{
		"on": {Data: []byte("\x06\x00\x00\x00\x01")}, "off": {Data: []byte("\x06\x00\x00\x00\x00")},
		"two": {Data: []byte("\x06\x00\x00\x00\x02")}, "short": {Data: []byte("\x06\x00\x00\x00")}, "long": {Data: []byte("\x06\x00\x00\x00\x01\x00")},
	}
	for file, want := range map[string]bool{"on": true, "off": false, "none": false} {
		if got, err := flag(vars, file); got != want || err != nil {
			t.Errorf("flag(%s) = %t, %v; want %t", file, got, err, want)
		}
	}
	for _, file := range []string{"two", "short", "long"} {
		if got, err := flag(vars, file); err == nil {
			t.Errorf("flag(%s) = %t; want an error", file, got)
		}
	}
}

func TestTexts(t *testing.T) {
	vars := fstest.MapFS{
		"two":   {Data: []byte("\x06\x00\x00\x00a\x00\x00\x00b\x00\x00\x00")},
		"cut":   {Data: []byte("\x06\x00\x00\x00a\x00\x00\x00b\x00")},
		"empty": {Data: []byte("\x06\x00\x00\x00")},
	}
	for file, want := range map[string][]string{"two": {"a", "b"}, "cut": {"a", "b"}, "empty": nil} {
		if got, err := texts(vars, file); !slices.Equal(got, want) || err != nil {
			t.Errorf("texts(%s) = %q, %v; want %q", file, got, err, want)
		}
	}
}

func TestEncode(t *testing.T) {
	if got, want := encode("a+3"), "\x07\x00\x00\x00a\x00+\x003\x00\x00\x00"; string(got) != want {
		t.Errorf("encode = %q; want %q", got, want)
	}
}

// What write does on a file system of another kind: create and replace.
func TestWrite(t *testing.T) {
	file := t.TempDir() + "/LoaderEntryOneShot-x"
	if err := mutable(file); err != nil {
		t.Errorf("mutable without the file = %v; want nil", err)
	}
	if err := write(file, encode("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := text(os.DirFS(filepath.Dir(file)), filepath.Base(file)); got != "x" || err != nil {
		t.Errorf("text = %q, %v; want x", got, err)
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("\x06\x00\x00\x001\x002\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) { text(fstest.MapFS{"v": {Data: data}}, "v") })
}
