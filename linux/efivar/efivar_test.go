package efivar

import (
	"errors"
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

func FuzzText(f *testing.F) {
	f.Add([]byte("\x06\x00\x00\x001\x002\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) { text(fstest.MapFS{"v": {Data: data}}, "v") })
}
