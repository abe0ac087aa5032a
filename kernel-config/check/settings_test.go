package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSettings(t *testing.T) {
	const text = `# A comment about CONFIG_THIS.

CONFIG_NET=y
# CONFIG_KEXEC is not set
CONFIG_PHYSICAL_START=0x1000000
CONFIG_DAYS=-3
CONFIG_LSM="landlock,\"yama\""
CONFIG_MODPROBE_PATH=""
`
	got, err := parseSettings(strings.NewReader(text), "net.config")
	if err != nil {
		t.Fatal(err)
	}
	at := func(line int) Position { return Position{File: "net.config", Line: line} }
	want := []Setting{
		{at(3), "CONFIG_NET", "y"},
		{at(4), "CONFIG_KEXEC", "n"},
		{at(5), "CONFIG_PHYSICAL_START", "0x1000000"},
		{at(6), "CONFIG_DAYS", "-3"},
		{at(7), "CONFIG_LSM", `"landlock,\"yama\""`},
		{at(8), "CONFIG_MODPROBE_PATH", `""`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parseSettings: (-want +got)\n%s", diff)
	}
}

func TestParseSettingsRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"CONFIG_NET":                  `a.config:2: want CONFIG_NAME=value`,
		"CONFIG NET=y":                `a.config:2: want CONFIG_NAME=value`,
		" CONFIG_NET=y":               `a.config:2: want CONFIG_NAME=value`,
		"# CONFIG_NET=y":              `a.config:2: want CONFIG_NAME=value`,
		"# CONFIG_NET is not set.":    `a.config:2: want CONFIG_NAME=value`,
		"CONFIG_NET=":                 `a.config:2: want CONFIG_NAME=value`,
		"CONFIG_NET=n":                `a.config:2: write "# CONFIG_NET is not set"`,
		"CONFIG_NET=m":                `a.config:2: CONFIG_NET=m: no loadable modules`,
		"CONFIG_NET=yes":              `a.config:2: CONFIG_NET: not a value: yes`,
		"CONFIG_NET=y # why":          `a.config:2: CONFIG_NET: not a value`,
		`CONFIG_NET="open`:            `a.config:2: CONFIG_NET: not a value`,
		strings.Repeat("x", 70_000):   `a.config:1: bufio.Scanner: token too long`,
		"CONFIG_" + "É" + "=y":        `a.config:2: want CONFIG_NAME=value`,
		"CONFIG_DEFAULT_HOSTNAME=a b": `a.config:2: CONFIG_DEFAULT_HOSTNAME: not a value`,
	} {
		_, err := parseSettings(strings.NewReader("CONFIG_OK=y\n"+line), "a.config")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseSettings(%.40q) = %v; want %s", line, err, want)
		}
	}
}

// Whatever is accepted reads back as itself.
func FuzzParseSettings(f *testing.F) {
	f.Add("CONFIG_NET=y\n# CONFIG_KEXEC is not set\n")
	f.Add("CONFIG_LSM=\"a\\\"b\"\r\n")
	f.Add("# CONFIG_ is not set\nCONFIG_=0x")
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parseSettings(strings.NewReader(text), "f")
		if err != nil {
			return
		}
		var again strings.Builder
		for _, s := range settings {
			if s.Value == unset {
				again.WriteString("# " + s.Symbol + " is not set\n")
			} else {
				again.WriteString(s.Symbol + "=" + s.Value + "\n")
			}
		}
		reread, err := parseSettings(strings.NewReader(again.String()), "f")
		if err != nil {
			t.Fatalf("parseSettings(%q): %v", again.String(), err)
		}
		if diff := cmp.Diff(valuesOf(settings), valuesOf(reread)); diff != "" {
			t.Errorf("read again: (-first +second)\n%s", diff)
		}
	})
}

func TestReadSymbols(t *testing.T) {
	path := filepath.Join(t.TempDir(), "symbols")
	if err := os.WriteFile(path, []byte("64BIT\nNET\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readSymbols(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"CONFIG_64BIT": true, "CONFIG_NET": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("readSymbols: (-want +got)\n%s", diff)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSymbols(path); err == nil {
		t.Error("readSymbols(empty file) = nil; want an error")
	}
}
