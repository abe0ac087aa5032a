package slot

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
)

// good wants one entry good and one failed, and leaves the others alone.
func good(n entry.Name) entry.Name {
	switch n.ID {
	case "ketch_1.0":
		return n.Good()
	case "ketch_2.0":
		return n.Failed(3)
	}
	return n
}

func TestRenameAll(t *testing.T) {
	for name, test := range map[string]struct{ before, want []string }{
		"counted":         {[]string{"ketch_0.9.efi", "ketch_1.0+2-1.efi"}, []string{"ketch_0.9.efi", "ketch_1.0.efi"}},
		"good already":    {[]string{"ketch_1.0.efi"}, []string{"ketch_1.0.efi"}},
		"both there":      {[]string{"ketch_1.0+2-1.efi", "ketch_1.0.efi"}, []string{"ketch_1.0+2-1.efi", "ketch_1.0.efi"}},
		"revoked":         {[]string{"ketch_1.0.efi", "ketch_2.0.efi"}, []string{"ketch_1.0.efi", "ketch_2.0+0-3.efi"}},
		"never counted":   {[]string{"ketch_2.0+3-0.efi"}, []string{"ketch_2.0+0-3.efi"}},
		"bad already":     {[]string{"ketch_2.0+0-3.efi"}, []string{"ketch_2.0+0-3.efi"}},
		"none of Ketch's": {[]string{"shell.bin", "x+y+.efi"}, []string{"shell.bin", "x+y+.efi"}},
		"empty":           {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range test.before {
				if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := renameAll(dir, good); err != nil {
				t.Errorf("renameAll = %v", err)
			}
			if diff := cmp.Diff(test.want, list(t, dir)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// A name that is taken is left alone, and does not keep the others from theirs.
func TestRenameAllGoesOn(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"ketch_1.0.efi", "ketch_1.0.efi/x"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"ketch_1.0+2-1.efi", "ketch_2.0.efi"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := renameAll(dir, good); err != nil {
		t.Errorf("renameAll = %v; want nil", err)
	}
	if diff := cmp.Diff([]string{"ketch_1.0+2-1.efi", "ketch_1.0.efi", "ketch_2.0+0-3.efi"}, list(t, dir)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if err := renameAll(filepath.Join(dir, "none"), good); err == nil {
		t.Error("renameAll without the directory = nil; want an error")
	}
}

func TestBooted(t *testing.T) {
	for _, test := range []struct {
		entry, countPath string
		want             entry.Name
		ok               bool
	}{
		{"ketch_1.0.efi", "", entry.Name{ID: "ketch_1.0"}, true},
		{"ketch_1.0+3-0.efi", `\EFI\Linux\ketch_1.0+2-1.efi`, entry.Name{ID: "ketch_1.0", Counted: true, Left: 2, Done: 1}, true},
		{"ketch_1.0+3-0.efi", "", entry.Name{ID: "ketch_1.0", Counted: true, Left: 3}, true}, // it could not be renamed
		{"", "", entry.Name{}, false},
		{"auto-windows", "", entry.Name{}, false},
	} {
		if got, ok := Booted(test.entry, test.countPath); got != test.want || ok != test.ok {
			t.Errorf("Booted(%q, %q) = %+v, %v; want %+v, %v", test.entry, test.countPath, got, ok, test.want, test.ok)
		}
	}
}

func TestFindESP(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	table := &gpt.Table{Partitions: []gpt.Partition{
		{Type: gpt.MustParseGUID(layout.TypeESP), ID: gpt.MustParseGUID("99999999-2222-3333-4444-555555555555")},
		{Type: gpt.MustParseGUID(layout.TypeESP), ID: gpt.MustParseGUID(id)},
	}}
	for in, want := range map[string]int{id: 2, "": 1, "00000000-2222-3333-4444-555555555555": 0} {
		if got := findESP(table, in); got != want {
			t.Errorf("findESP(%q) = %d; want %d", in, got, want)
		}
	}
}
