package gocmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestModuleDir(t *testing.T) {
	got, err := moduleDir("/cache", "github.com/Microsoft/hcsshim", "v0.15.0-RC.4")
	if want := "/cache/github.com/!microsoft/hcsshim@v0.15.0-!r!c.4"; got != want || err != nil {
		t.Errorf("moduleDir = %s, %v; want %s", got, err, want)
	}
	for _, m := range []Module{{"../escape", "v1.0.0"}, {"example.org/m", "../v1"}} {
		if got, err := moduleDir("/cache", m.Path, m.Version); err == nil {
			t.Errorf("moduleDir(%v) = %s; want an error", m, got)
		}
	}
}

func TestSources(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("GOMODCACHE", cache)
	t.Setenv("GOPROXY", "off")
	c := &Compiler{Module: "../../.."}
	there := filepath.Join(cache, "example.org/m@v1.0.0")
	if err := os.MkdirAll(there, 0o755); err != nil {
		t.Fatal(err)
	}
	dirs, err := c.Sources(t.Context(), []Module{{"example.org/m", "v1.0.0"}})
	if err != nil || len(dirs) != 1 || dirs[0] != there {
		t.Errorf("Sources = %q, %v; want %s", dirs, err, there)
	}
	_, err = c.Sources(t.Context(), []Module{{"example.org/m", "v1.0.0"}, {"example.org/gone", "v1.0.0"}})
	if err == nil || !strings.Contains(err.Error(), "find the source of example.org/gone v1.0.0") || hint.Of(err) == "" {
		t.Errorf("Sources of what cannot be had = %v; want an error that names it, and a hint", err)
	}
}
