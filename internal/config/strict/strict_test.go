package strict

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Text  string            `yaml:"text" json:"text"`
	On    bool              `yaml:"on" json:"on"`
	Count *int              `yaml:"count" json:"count"`
	List  []sample          `yaml:"list" json:"list"`
	Words map[string]string `yaml:"words" json:"words"`
}

// TestJSON: what YAML has trouble with is JSON all the same, and has its place.
func TestJSON(t *testing.T) {
	text := "{\n\t\"text\": \"\\ud83d\\ude00 \\/\",\n\t\"on\": true, \"count\": null,\n\t\"list\": [{\"count\": 7}, {\"text\": 5}],\n\t\"words\": {\"a.b\": \"c\"}, \"é\": 1, \"é\": 2\n}"
	d, root, err := JSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d.Tag = "json"
	var got sample
	d.Decode(root, &got)
	seven := 7
	want := sample{Text: "😀 /", On: true, List: []sample{{Count: &seven}, {}}, Words: map[string]string{"a.b": "c"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Decode (-want +got):\n%s", diff)
	}
	var lines []string
	for _, p := range d.Problems {
		lines = append(lines, p.In("file"))
	}
	if diff := cmp.Diff([]string{
		"file:4:34: list.1.text: want text in quotes", "file:5:25: é: there is no such key", "file:5:33: é: is there twice",
	}, lines); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if n := root.Find("words.a.b"); n.Value != "c" || n.Path != "words.a.b" {
		t.Errorf("Find(words.a.b) = %q at %s", n.Value, n.Path)
	}
	if n := root.Find("list.1.count"); n.Path != "list.1" {
		t.Errorf("Find(list.1.count) stops at %s; want list.1", n.Path)
	}
}

func TestJSONRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "unexpected EOF",
		"{":                        "unexpected EOF",
		"{\"a\" 1}":                "invalid character",
		"{\n  \"a\": 1\n  \"b\"}":  "line 3",
		"1 2":                      "more follows",
		strings.Repeat("[", 1000):  "levels deep",
		"\"\xff\"":                 "UTF-8",
		strings.Repeat("1", 2<<20): "over the limit",
	} {
		if _, _, err := JSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("JSON(%.20q) = %v; want %q", text, err, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"text": "a", "list": [{"on": true}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, root, err := JSON(text)
		if err != nil {
			return
		}
		d.Tag = "json"
		d.Decode(root, new(sample))
	})
}

func FuzzYAML(f *testing.F) {
	f.Add([]byte("text: a\nlist: [{on: true}, &a {words: {b: c}}, *a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, root, err := YAML(text)
		if err != nil {
			return
		}
		d.Decode(root, new(sample))
		if whole, err := root.Expanded(); err == nil && whole == nil {
			t.Error("Expanded gives nothing")
		}
	})
}
