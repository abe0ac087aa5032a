package words

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// lines are taken apart by us and by a shell.
var lines = map[string][]string{
	"":                       nil,
	" \t ":                   nil,
	"status --json":          {"status", "--json"},
	"  logs\t-n 20  web ":    {"logs", "-n", "20", "web"},
	`reboot -m 'new kernel'`: {"reboot", "-m", "new kernel"},
	`reboot -m "it's time"`:  {"reboot", "-m", "it's time"},
	`a"b"'c'\d`:              {"abcd"},
	`'' ""`:                  {"", ""},
	`"a\"b\\c\d"`:            {`a"b\c\d`},
	`'a\b'`:                  {`a\b`},
	`a\ b\|c`:                {"a b|c"},
	`'|&;<>()$*?[]#~{}!'`:    {"|&;<>()$*?[]#~{}!"},
	"\"two\nlines\"":         {"two\nlines"},
	"a\\\nb":                 {"ab"},
	"\"a\\\nb\"":             {"ab"},
	`--name=web "Grüße, 世界"`: {"--name=web", "Grüße, 世界"},
}

func TestSplit(t *testing.T) {
	for line, want := range lines {
		got, err := Split(line)
		if err != nil {
			t.Errorf("Split(%q) = %v", line, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Split(%q) (-want +got):\n%s", line, diff)
		}
	}
}

// shell has a shell take a line apart.
func shell(t testing.TB, sh, line string) []string {
	t.Helper()
	out, err := exec.Command(sh, "-c", `for w in `+line+`
do printf '%s\0' "$w"; done`).Output()
	if err != nil {
		t.Fatalf("sh: %q: %v", line, err)
	}
	parts := strings.Split(string(out), "\x00")
	return parts[:len(parts)-1]
}

// TestShell: a shell sees the same words.
func TestShell(t *testing.T) {
	sh := testkit.Tool(t, "sh")
	for line, want := range lines {
		if got := shell(t, sh, line); !slices.Equal(got, want) {
			t.Errorf("a shell takes %q apart into %q; we into %q", line, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for line, want := range map[string]string{
		"logs web | tail":  "'|' means something to a shell",
		"status; poweroff": "';'",
		"status && reboot": "'&'",
		"logs > /etc/x":    "'>'",
		"logs $HOME":       "'$'",
		`logs "$HOME"`:     "'$'",
		"logs `id`":        "'`'",
		"status\nreboot":   `'\n'`,
		"logs *":           "'*'",
		"logs 'web":        "never closed",
		`logs "web`:        "never closed",
		`logs "web\"`:      "never closed",
		`logs web\`:        "ends with",
		"logs\x00":         "NUL",
	} {
		if got, err := Split(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Split(%q) = %q, %v; want an error with %s", line, got, err, want)
		}
	}
}

// FuzzSplit: what is taken apart comes back from Join, and a NUL never gets through.
func FuzzSplit(f *testing.F) {
	for line := range lines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := Split(line)
		if err != nil {
			return
		}
		again, err := Split(Join(got))
		if err != nil || !slices.Equal(got, again) {
			t.Errorf("Split(%q) = %q; joined and split again %q, %v", line, got, again, err)
		}
		if strings.ContainsRune(strings.Join(got, ""), 0) {
			t.Errorf("Split(%q) lets a NUL pass", line)
		}
	})
}
