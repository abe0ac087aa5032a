package printable

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	for name, want := range map[string]string{
		"usr/bin/runc":           "usr/bin/runc",
		"a b":                    "a b",
		"größe 漢字 é":             "größe 漢字 é",
		`back\slash`:             `back\slash`,
		"":                       `""`,
		`"quoted"`:               `"\"quoted\""`,
		"\x1b[31mred":            `"\x1b[31mred"`,
		"bell\x07":               `"bell\a"`,
		"two\nlines":             `"two\nlines"`,
		"tab\t":                  `"tab\t"`,
		"del\x7f":                `"del\x7f"`,
		"csi\u009b31m":           `"csi\u009b31m"`,
		"raw csi\x9b31m":         `"raw csi\x9b31m"`,
		"no UTF-8 \xff\xfe":      `"no UTF-8 \xff\xfe"`,
		"\u202egnp.exe":          `"\u202egnp.exe"`,
		"isolate\u2066":          `"isolate\u2066"`,
		"mark\u200f":             `"mark\u200f"`,
		"zero\u200bwidth":        `"zero\u200bwidth"`,
		"\ufeffmark":             `"\ufeffmark"`,
		"line\u2028separator":    `"line\u2028separator"`,
		"a real \ufffd":          "a real \ufffd",
		"tag\U000e0041":          `"tag\U000e0041"`,
		"surrogate \xed\xa0\x80": `"surrogate \xed\xa0\x80"`,
	} {
		if got := Name(name); got != want {
			t.Errorf("Name(%q) = %s; want %s", name, got, want)
		}
	}
}

func TestText(t *testing.T) {
	const in = "a\x1b[2J\n\tb\r\u009bc\xff\u202ed \"e\" \\"
	if got, want := Text(in), `a\x1b[2J\n\tb\r\u009bc\xff\u202ed "e" \`; got != want {
		t.Errorf("Text(%q) = %s; want %s", in, got, want)
	}
	if got, want := Lines(in), "a\\x1b[2J\n\tb\\r\\u009bc\\xff\\u202ed \"e\" \\"; got != want {
		t.Errorf("Lines(%q) = %s; want %s", in, got, want)
	}
	for _, text := range []string{"", "as it is", "größe"} {
		if got := Text(text); got != text {
			t.Errorf("Text(%q) = %q", text, got)
		}
	}
}

// However the text is cut into pieces, the writer says the same.
func TestWriter(t *testing.T) {
	const in = "a\x1b[31m größe 漢\u009b\xe2\x80x\xff\nb\U0001f600\xf0\x9f"
	want := Lines(in)
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if m, err := w.Write([]byte(rest[:n])); m != n || err != nil {
				t.Fatalf("Write() = %d, %v; want %d", m, err, n)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("in pieces of %d bytes: %q; want %q", size, got, want)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriterError(t *testing.T) {
	if _, err := NewWriter(full{}).Write([]byte("x")); err == nil {
		t.Error("Write() lost the error")
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a\x1b[31m\u009b\xff\u202e\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := Lines(text)
		if !utf8.ValidString(got) {
			t.Errorf("Lines(%q) = %q is no UTF-8", text, got)
		}
		if again := Lines(got); again != got {
			t.Errorf("Lines(%q) = %q, which becomes %q", text, got, again)
		}
		if strings.ContainsAny(got, "\x1b\x07\r\x7f\u009b\u202e") {
			t.Errorf("Lines(%q) = %q", text, got)
		}
	})
}

func TestTable(t *testing.T) {
	var out strings.Builder
	w := NewTable(&out)
	w.Row("name", "a\tb", 3)
	w.Row("two\nlines\x1b[2J", Ours("\x1b[31mred\x1b[0m"), "\u009b")
	w.Row()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	const want = "name               a b           3\n" + `two\nlines\x1b[2J  ` + "\x1b[31mred\x1b[0m  " + `\u009b` + "\n\n"
	if out.String() != want {
		t.Errorf("table = %q; want %q", &out, want)
	}
}

func TestJSON(t *testing.T) {
	for _, text := range []string{"", "plain", "\x1b[2J\u009b\u202e\u200b\U000e0041", "größe 漢字", "a\nb\tc", "\x7f\u0085"} {
		plain, err := json.MarshalIndent(map[string]string{text: text}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		shown := JSON(plain)
		var back map[string]string
		if err := json.Unmarshal(shown, &back); err != nil || back[text] != text {
			t.Errorf("JSON(%s) = %s, which is %q, %v", plain, shown, back, err)
		}
		if lines := Lines(string(shown)); lines != string(shown) {
			t.Errorf("JSON(%s) = %s; it has what does not print", plain, shown)
		}
	}
}

// hostile is a type whose text is from outside.
type hostile string

func (h hostile) String() string { return string(h) }

func TestFprintf(t *testing.T) {
	const bad, shown = "a\x1b[2J\n\u202e\u009b", `a\x1b[2J\n\u202e\u009b`
	var out strings.Builder
	Fprintf(&out, "%s\t%v\n%s %d %s", bad, errors.New(bad), hostile(bad), 7, Ours("\x1b[1mbold\x1b[0m"))
	if want := shown + "\t" + shown + "\n" + shown + " 7 \x1b[1mbold\x1b[0m"; out.String() != want {
		t.Errorf("Fprintf wrote %q; want %q", &out, want)
	}
	out.Reset()
	Fprintln(&out, "a:", bad, 7)
	if want := "a: " + shown + " 7\n"; out.String() != want {
		t.Errorf("Fprintln wrote %q; want %q", &out, want)
	}
}
