package sysctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSet(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "net/ipv4"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"net/ipv4/ip_forward", "kernel/core_pattern"} {
		if err := os.WriteFile(filepath.Join(root, path), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "unwritable"), 0o755); err != nil {
		t.Fatal(err)
	}
	var missing []string
	err := Set(root, []Setting{
		{Name: "net.ipv4.ip_forward", Value: "1"},
		{Name: "kernel.core_pattern", Value: ""},
		{Name: "kernel.new", Value: "1"},
		{Name: "unwritable", Value: "2"},
	}, func(name string) { missing = append(missing, name) })
	if err == nil || !strings.Contains(err.Error(), `set unwritable to "2": `) {
		t.Errorf("Set = %v; want the error of unwritable", err)
	}
	if diff := cmp.Diff([]string{"kernel.new"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{"net/ipv4/ip_forward": "1\n", "kernel/core_pattern": "\n"} {
		if got, _ := os.ReadFile(filepath.Join(root, path)); string(got) != want {
			t.Errorf("%s = %q; want %q", path, got, want)
		}
	}
}
