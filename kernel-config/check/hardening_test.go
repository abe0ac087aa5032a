package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseExceptions(t *testing.T) {
	const text = `# Why not.

CONFIG_SLUB_DEBUG: costs memory
  for every cache,
	and time.
 and a boot's worth of files
CONFIG_KEXEC:
`
	text0 := strings.Replace(text, "\tand", " and", 1)
	got, err := parseExceptions(strings.NewReader(text0), "x")
	if err != nil {
		t.Fatal(err)
	}
	want := []Exception{
		{Position{"x", 3}, "CONFIG_SLUB_DEBUG", "costs memory for every cache, and time. and a boot's worth of files"},
		{Position{"x", 7}, "CONFIG_KEXEC", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parseExceptions: (-want +got)\n%s", diff)
	}
	for _, line := range []string{" a reason for nothing", "SLUB_DEBUG: no prefix", "CONFIG_SLUB_DEBUG no colon"} {
		if _, err := parseExceptions(strings.NewReader(line), "x"); err == nil || !strings.HasPrefix(err.Error(), "x:1: want") {
			t.Errorf("parseExceptions(%q) = %v; want x:1: want …", line, err)
		}
	}
}

func FuzzParseExceptions(f *testing.F) {
	f.Add("CONFIG_A: b\n  c\n# d\n")
	f.Fuzz(func(t *testing.T, text string) {
		exceptions, err := parseExceptions(strings.NewReader(text), "f")
		for _, e := range exceptions {
			if err == nil && (!strings.HasPrefix(e.Symbol, "CONFIG_") || e.Line < 1) {
				t.Errorf("parseExceptions(%q) holds %+v", text, e)
			}
		}
	})
}

func TestChecks(t *testing.T) {
	for name, test := range map[string]struct {
		fragment, list, exceptions, config string
		want                               []string
	}{
		"all in effect": {
			fragment: "CONFIG_A=y\n# CONFIG_B is not set\n", config: "CONFIG_A=y\nCONFIG_C=y\n",
		},
		"dependency missing": {
			fragment: "CONFIG_A=y\n", config: "",
			want: []string{"fragment:1: CONFIG_A: want y, got n"},
		},
		"number replaced": {
			fragment: "\nCONFIG_A=16\n", config: "CONFIG_A=15\n",
			want: []string{"fragment:2: CONFIG_A: want 16, got 15"},
		},
		"selected although unwanted": {
			fragment: "# CONFIG_A is not set\n", config: "CONFIG_A=y\n",
			want: []string{"fragment:1: CONFIG_A: want n, got y"},
		},
		"set twice": {
			fragment: "CONFIG_A=y\nCONFIG_A=y\n", config: "CONFIG_A=y\n",
			want: []string{"fragment:2: CONFIG_A: set before, at fragment:1"},
		},
		"no such symbol": {
			fragment: "# CONFIG_Z is not set\n",
			want:     []string{"fragment:1: CONFIG_Z: this kernel has no such symbol"},
		},
		"hardening met": {
			list: "CONFIG_A=y\n# CONFIG_B is not set\n", config: "CONFIG_A=y\n",
		},
		"hardening neither met nor excepted": {
			list: "CONFIG_A=y\n# CONFIG_B is not set\n", config: "CONFIG_B=y\n",
			want: []string{"list:1: CONFIG_A: want y, got n", "list:2: CONFIG_B: want n, got y"},
		},
		"hardening excepted": {
			list: "CONFIG_A=y\n", exceptions: "CONFIG_A: slow\n",
		},
		"exception without a reason": {
			list: "CONFIG_A=y\n", exceptions: "CONFIG_A:\n",
			want: []string{"exceptions:1: CONFIG_A: an exception needs a reason"},
		},
		"exception for an item that is met": {
			list: "CONFIG_A=y\n", config: "CONFIG_A=y\n", exceptions: "CONFIG_A: slow\n",
			want: []string{"exceptions:1: CONFIG_A: stale exception: the item is met"},
		},
		"exception for nothing": {
			exceptions: "CONFIG_A: slow\n",
			want:       []string{"exceptions:1: CONFIG_A: stale exception: not on the hardening list"},
		},
		"excepted twice": {
			list: "CONFIG_A=y\n", exceptions: "CONFIG_A: slow\nCONFIG_A: large\n",
			want: []string{"exceptions:2: CONFIG_A: excepted before, at exceptions:1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			fragment, list := settings(t, test.fragment, "fragment"), settings(t, test.list, "list")
			exceptions, err := parseExceptions(strings.NewReader(test.exceptions), "exceptions")
			if err != nil {
				t.Fatal(err)
			}
			known := map[string]bool{"CONFIG_A": true, "CONFIG_B": true, "CONFIG_C": true}
			values := valuesOf(settings(t, test.config, "config"))
			if diff := cmp.Diff(test.want, check(fragment, list, exceptions, known, values)); diff != "" {
				t.Errorf("check: (-want +got)\n%s", diff)
			}
		})
	}
}

func settings(t *testing.T, text, name string) []Setting {
	t.Helper()
	parsed, err := parseSettings(strings.NewReader(text), name)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
