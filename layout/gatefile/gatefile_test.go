package gatefile

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want File
	}{
		"nothing": {`{}`, File{Deadline: Duration(DefaultDeadline)}},
		"whole": {`{"deadline":"2m30s","checks":[
			{"name":"database","command":["/usr/bin/db-check","--quick"]},
			{"name":"front page","http":"http://127.0.0.1:8080/a?b=c","status":204}]}`,
			File{Deadline: Duration(150 * time.Second), Checks: []Check{
				{Name: "database", Command: []string{"/usr/bin/db-check", "--quick"}},
				{Name: "front page", HTTP: "http://127.0.0.1:8080/a?b=c", Status: 204},
			}}},
	} {
		got, err := Parse([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	check := func(fields string) string { return `{"checks":[{"name":"x",` + fields + `}]}` }
	many := strings.TrimSuffix(strings.Repeat(`{"name":"x","command":["/x"]},`, maxChecks+1), ",")
	for text, want := range map[string]string{
		``:                        "EOF",
		`null x`:                  "more after",
		`[]`:                      "cannot unmarshal",
		`{} {}`:                   "more after",
		`{"dead_line":"2m"}`:      `unknown field "dead_line"`,
		`{"deadline":2}`:          "deadline",
		"{\n\n \"dead_line\": 1}": `line 3: json: unknown field "dead_line"`,
		"{\n \"checks\": 1}":      "line 2: json: cannot unmarshal",
		"{\n\n,":                  "line 3: invalid character",
		`{"deadline":"2"}`:        "missing unit",
		`{"deadline":"1s"}`:       "deadline: 1s is not between 10s and 1h0m0s",
		`{"deadline":"2h"}`:       "deadline: 2h",
		check(`"retries":3`):      `unknown field "retries"`,
		check(`"status":200`):     "either a command or http",
		check(`"command":[]`):     "either a command or http",
		check(`"command":["x"]`):  `command: "x" is not the path`,
		check(`"command":["/x"],"http":"http://a/"`):                               "either a command or http",
		check(`"command":["/x"],"status":200`):                                     "status: only http",
		check(`"http":"https://a/"`):                                               "http: ",
		check(`"http":"http:///x"`):                                                "http: ",
		check(`"http":"http://a:99999/"`):                                          "http: ",
		check(`"http":"http://a b/"`):                                              "http: ",
		check(`"http":"http://a/%zz"`):                                             "http: ",
		check(`"http":"http://a/","status":99`):                                    "status: 99",
		`{"checks":[{"command":["/x"]}]}`:                                          `checks[0].name: ""`,
		`{"checks":[{"name":"a\nb","command":["/x"]}]}`:                            "checks[0].name",
		`{"checks":[{"name":"` + strings.Repeat("x", 65) + `","command":["/x"]}]}`: "checks[0].name",
		`{"checks":[{"name":"x","command":["/x"]},{"name":"x","command":["/y"]}]}`: `checks[1].name: "x" is there twice`,
		`{"checks":[` + many + `]}`:                                                "checks: 33 are more than 32",
		`{}` + strings.Repeat(" ", maxFile):                                        "more than 65536 bytes",
	} {
		if got, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.80s) = %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.json")
	got, err := Read(path)
	if err != nil || time.Duration(got.Deadline) != DefaultDeadline || len(got.Checks) > 0 {
		t.Errorf("Read of no file = %+v, %v; want the default deadline and no checks", got, err)
	}
	os.WriteFile(path, []byte(`{"checks":[{}]}`), 0o644)
	if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), path+": checks[0].name") {
		t.Errorf("Read of a bad file = %v; want its path and the field", err)
	}
	if _, err := Read(filepath.Dir(path)); err == nil {
		t.Error("Read of a directory = nil; want an error")
	}
}

// TestValidURL: what PID 1 takes ketchd takes too, whose judge is package net/url.
func TestValidURL(t *testing.T) {
	for text, want := range map[string]bool{
		"http://a": true, "http://a/": true, "http://127.0.0.1:80/x?y=z&q": true, "http://[::1]:8080/": true, "http://[::1]/": true,
		"http://": false, "http://:80/": false, "http://a:b/": false, "http://[::1/": false, "http://::1]/": false,
		"http://[::1]x/": false, "http://user@a/": false, "http://a/ü": false, "http://[::2]/": false, "http://a[::1]/": false, "ftp://a/": false, "http://[::1]:": true,
	} {
		if got := validURL(text); got != want {
			t.Errorf("validURL(%q) = %v; want %v", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"deadline":"2m","checks":[{"name":"a","command":["/x"]},{"name":"b","http":"http://[::1]:8080/","status":200}]}`))
	f.Add([]byte(`{"checks":[{"name":"b","http":"http://a.b-c:80/?q"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse(text)
		if err != nil {
			return
		}
		for _, c := range file.Checks {
			if parsed, err := url.Parse(c.HTTP); c.HTTP != "" && (err != nil || parsed.Hostname() == "" || parsed.Scheme != "http") {
				t.Errorf("Parse took the address %q: %+v, %v", c.HTTP, parsed, err)
			}
		}
		again, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := Parse(again); err != nil || cmp.Diff(file, twice) != "" {
			t.Errorf("round trip of %q = %+v, %v", text, twice, err)
		}
	})
}

// The example of the document is a gate file.
func TestDocumented(t *testing.T) {
	file := testkit.Example[File](t, "../../docs/boot.md", "gate file")
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(text); err != nil {
		t.Errorf("Parse of the document's example: %v", err)
	}
}
