package ignition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/ignition/v2/config/v3_5"
	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/config"
)

const (
	key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N anna@home"
	key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPPLnbgyCBXAjUfQbF4FLCeFuXkOq7SR3gK0dSmQd4bP"
)

// pages are what a test's network has.
type pages map[string]string

func (p pages) Fetch(_ context.Context, url string) ([]byte, error) {
	text, ok := p[url]
	if !ok {
		return nil, errors.New("404 Not Found")
	}
	return []byte(text), nil
}

var full = `{
  "ignition": {"version": "3.4.0", "config": {"merge": [
      {"source": "https://example.com/more.ign"},
      {"source": "data:,%7B%22ignition%22%3A%7B%22version%22%3A%223.0.0%22%7D%2C%22passwd%22%3A%7B%22users%22%3A%5B%7B%22name%22%3A%22bob%22%7D%5D%7D%7D"}
  ]}},
  "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["` + key1 + `"]}]},
  "storage": {
    "files": [
      {"path": "/etc/hostname", "contents": {"source": "data:,web-1"}},
      {"path": "/etc/a", "mode": 420, "overwrite": true, "contents": {"compression": "", "source": "data:;base64,aGVsbG8="}},
      {"path": "/var/b", "user": {"id": 5}, "group": {"name": "root"}, "contents": {"source": "https://example.com/b", "verification": {"hash": "sha512-` + hash512 + `"}}}
    ],
    "directories": [{"path": "/var/d", "mode": 448}],
    "links": [{"path": "/etc/l", "target": "a", "hard": false}],
    "disks": []
  },
  "systemd": {}
}`

var hash512 = strings.Repeat("0f", 64)

const more = `{"ignition": {"version": "3.0.0"}, "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["` + key2 + `"]}]},
  "storage": {"files": [{"path": "/etc/a", "overwrite": true, "contents": {"source": "data:,other"}}]}}`

func TestParse(t *testing.T) {
	got := Parse(t.Context(), []byte(full), pages{"https://example.com/more.ign": more})
	if len(got.Problems) > 0 || len(got.LeftOut) > 0 {
		t.Fatalf("problems %v, left out %v; want none", got.Problems, got.LeftOut)
	}
	want := config.Config{
		Hostname: "web-1",
		Users:    []config.User{{Name: "core", Keys: []config.Key{key1, key2}}, {Name: "bob"}},
		Files: []config.File{
			{Node: config.Node{Path: "/etc/a"}, Mode: config.Mode{Bits: 0o644, Set: true}, Contents: config.Contents{Data: []byte("other")}},
			{Node: config.Node{Path: "/var/b", Owner: config.Owner{UID: 5}}, Contents: config.Contents{Source: "https://example.com/b", Hash: "sha512-" + hash512}},
		},
		Directories: []config.Directory{{Node: config.Node{Path: "/var/d"}, Mode: config.Mode{Bits: 0o700, Set: true}}},
		Links:       []config.Link{{Node: config.Node{Path: "/etc/l"}, Target: "a"}},
	}
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	if _, report, err := v3_5.ParseCompatibleVersion([]byte(full)); err != nil {
		t.Errorf("Ignition's own parser refuses it: %v\n%v", err, report)
	}
	if got := Parse(t.Context(), []byte(full), nil); !slices.Equal(got.LeftOut, []string{"https://example.com/more.ign"}) || len(got.Problems) > 0 {
		t.Errorf("without a network: left out %v, problems %v", got.LeftOut, got.Problems)
	}
}

func ign(rest string) string {
	return "{\"ignition\": {\"version\": \"3.5.0\"},\n" + rest + "}"
}

func TestProblems(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
		rest       func(c config.Config) bool
	}{
		{"cut off", `{"ignition": {"version": "3.0.0"`, []string{"unexpected EOF"}, nil},
		{"not JSON", "{\n \"ignition\": x}", []string{"line 2, column 14: invalid character 'x'"}, nil},
		{"more behind it", ign(`"systemd": {}`) + "\n{}", []string{"more follows"}, nil},
		{"version 2", `{"ignition": {"version": "2.3.0"}}`, []string{`line 1, column 26: ignition.version: "2.3.0" is not supported: want 3.0.0 to 3.5.0`}, nil},
		{"no version", `{"ignition": {}}`, []string{`ignition: "" is not supported`}, nil},
		{"unknown key", ign(`"storag": {}`), []string{"line 2, column 1: storag: there is no such key"}, nil},
		{"disks, units, kernel arguments", ign(`"storage": {"disks": [{"device": "/dev/sda"}], "files": [{"path": "/etc/a"}]},
"systemd": {"units": [{"name": "a.service"}]}, "kernelArguments": {"shouldExist": ["a"]}`), []string{
			"line 2, column 22: storage.disks: is not supported", "line 3, column 12: systemd: is not supported", "line 3, column 67: kernelArguments: is not supported",
		}, func(c config.Config) bool { return len(c.Files) == 1 }},
		{"a user with a password", ign(`"passwd": {"users": [{"name": "core", "passwordHash": "x", "sshAuthorizedKeys": ["` + key1 + `", "bad"]}]}`), []string{
			"passwd.users.0.passwordHash: is not supported", `passwd.users.0.sshAuthorizedKeys.1: "bad" is no public key`,
		}, func(c config.Config) bool {
			return len(c.Users) == 1 && slices.Equal(c.Users[0].Keys, []config.Key{key1})
		}},
		{"a bad file among good ones", ign(`"storage": {"files": [
{"path": "/etc/a"},
{"path": "/etc/b", "mode": 99999},
{"path": "/etc/c", "mode": "0644"},
{"path": "/usr/d"},
{"path": "/etc/e", "append": [{"source": "data:,x"}]},
{"path": "/etc/f", "contents": {"source": "s3://bucket/x"}},
{"path": "/etc/g", "user": {"name": "anna"}},
{"path": "/etc/h", "contents": {"source": "data:,x", "verification": {"hash": "sha256-` + strings.Repeat("0", 64) + `"}}},
{"path": "/etc/i"}]}`), []string{
			"line 4, column 28: storage.files.1.mode: ", "line 5, column 28: storage.files.2.mode: \"0644\" is not a whole number", "line 6, column 10: storage.files.3.path: /usr/d: a configuration writes below",
			"storage.files.4.append: is not supported", "storage.files.5.contents: ", `storage.files.6: "anna": names of users`, "storage.files.7.contents: the content is another",
		}, func(c config.Config) bool { return len(c.Files) == 2 }},
		{"a path twice", ign(`"storage": {"files": [{"path": "/etc/a"}], "links": [{"path": "/etc/a", "target": "b"}]}`), []string{"duplicate"}, nil},
		{"a file through a link", ign(`"storage": {"files": [{"path": "/etc/a/b"}], "links": [{"path": "/etc/a", "target": "b"}]}`), []string{"storage.files.0: "}, nil},
		{"a hard link", ign(`"storage": {"links": [{"path": "/etc/a", "target": "/etc/b", "hard": true}]}`), []string{"storage.links.0.hard: is not supported"}, func(c config.Config) bool { return c.Links == nil }},
		{"overwrite: false", ign(`"storage": {"files": [{"path": "/etc/a", "overwrite": false}]}`), []string{"storage.files.0.overwrite: is not supported: a file that is there is replaced"}, nil},
		{"host name", ign(`"storage": {"files": [{"path": "/etc/hostname", "contents": {"source": "data:,a_b"}}]}`), []string{"storage.files.0.path: /etc/hostname cannot be written"}, nil},
		{"a page that is not there", ign(`"storage": {"files": [{"path": "/etc/a"}]}, "systemd": {}`)[:len(`{"ignition": {"version": "3.5.0"`)] +
			`, "config": {"merge": [{"source": "https://example.com/none"}]}}, "storage": {"files": [{"path": "/etc/a"}]}}`, []string{
			"ignition.config.merge.0: fetch https://example.com/none: 404 Not Found"}, func(c config.Config) bool { return len(c.Files) == 1 }},
		{"a page of another kind", `{"ignition": {"version": "3.0.0", "config": {"replace": {"source": "https://example.com/html"}}}}`, []string{
			"https://example.com/html:1:1: invalid character '<'"}, nil},
		{"headers", `{"ignition": {"version": "3.1.0", "config": {"merge": [{"source": "https://example.com/a", "httpHeaders": [{"name": "a", "value": "b"}]}]}}}`, []string{
			"ignition.config.merge.0.httpHeaders: is not supported"}, nil},
	} {
		got := Parse(t.Context(), []byte(test.text), pages{"https://example.com/html": "<html>"})
		var lines []string
		for _, p := range got.Problems {
			lines = append(lines, p.String())
		}
		for _, want := range test.want {
			if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, want) }) {
				t.Errorf("%s: problems are\n%s\nwant %q", test.name, strings.Join(lines, "\n"), want)
			}
		}
		if len(lines) < len(test.want) || len(test.want) > 0 && len(lines) > len(test.want)+1 {
			t.Errorf("%s: problems are\n%s\nwant %d", test.name, strings.Join(lines, "\n"), len(test.want))
		}
		if test.rest != nil && !test.rest(got.Config) {
			t.Errorf("%s: the rest is %+v", test.name, got.Config)
		}
	}
}

// TestReplace: what another configuration replaces does not count.
func TestReplace(t *testing.T) {
	text := `{"ignition": {"version": "3.0.0", "config": {"replace": {"source": "https://example.com/more"}}}, "passwd": {"users": [{"name": "gone"}]}}`
	got := Parse(t.Context(), []byte(text), pages{"https://example.com/more": more})
	if len(got.Problems) > 0 || len(got.Config.Users) != 1 || got.Config.Users[0].Name != "core" {
		t.Errorf("Parse = %+v, problems %v", got.Config, got.Problems)
	}
}

// TestEndless: configurations that name each other come to an end.
func TestEndless(t *testing.T) {
	name := func(urls ...string) string {
		var list []string
		for _, u := range urls {
			list = append(list, fmt.Sprintf(`{"source": %q}`, u))
		}
		return `{"ignition": {"version": "3.0.0", "config": {"merge": [` + strings.Join(list, ",") + `]}}}`
	}
	deep, wide := pages{}, pages{}
	for i := range 20 {
		deep[fmt.Sprintf("https://h/%d", i)] = name(fmt.Sprintf("https://h/%d", i+1))
		var all []string
		for j := range 10 {
			all = append(all, fmt.Sprintf("https://h/%d?%d", i+1, j))
		}
		for j := range 10 {
			wide[fmt.Sprintf("https://h/%d?%d", i, j)] = name(all...)
		}
	}
	for what, test := range map[string]struct {
		pages pages
		start string
		want  string
	}{
		"a cycle": {pages{"https://h/a": name("https://h/b"), "https://h/b": name("https://h/a")}, "https://h/a", "names itself"},
		"depth":   {deep, "https://h/0", "more than 8 deep"},
		"width":   {wide, "https://h/0?0", "more than 32 configurations"},
		"size":    {pages{"https://h/a": name("https://h/b") + strings.Repeat(" ", 3<<20)}, "https://h/a", "over the limit"},
	} {
		got := Parse(t.Context(), []byte(name(test.start)), test.pages)
		if len(got.Problems) == 0 || !strings.Contains(fmt.Sprint(got.Problems), test.want) {
			t.Errorf("%s: problems %v; want %q", what, got.Problems, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(more))
	f.Add([]byte(`{"ignition": {"version": "3.0.0", "config": {"replace": {"source": "data:,{}"}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Parse(t.Context(), text, pages{"https://example.com/more.ign": more})
		for _, file := range got.Config.Files {
			if err := config.CheckPath(file.Path); err != nil {
				t.Errorf("a file is let through: %v", err)
			}
		}
		if len(got.Problems) > 0 {
			return
		}
		if _, report, err := v3_5.ParseCompatibleVersion(text); err != nil {
			t.Errorf("no problem, and Ignition's own parser says %v\n%v", err, report)
		}
	})
}
