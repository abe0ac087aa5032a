package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/internal/testkit"
)

const (
	key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N anna@home"
	key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPPLnbgyCBXAjUfQbF4FLCeFuXkOq7SR3gK0dSmQd4bP"
)

func packed(text string) string {
	return base64.StdEncoding.EncodeToString(testkit.Gzip([]byte(text)))
}

// full uses every key that is acted on.
var full = `
ketch: 1
hostname: web-1.example.com
timezone: UTC
ssh:
  keys: [` + key1 + `]
  trusted-user-ca-keys: [` + key2 + `]
  port: 2222
users:
  - name: anna
    ssh-keys:
      - 'from="10.0.0.0/8",command="echo \"a b\"" ` + key1 + `'
files:
  - path: /etc/motd
    contents: |
      Ahoy.
  - {path: /var/lib/app/a, mode: 0600, owner: 1000:1001, once: false, contents: {base64: "` + packed("zipped") + `", gzip: true}}
  - {path: /etc/data, mode: "0755", owner: root, contents: {source: "data:,a%20b"}}
  - {path: /etc/far, contents: {source: "https://example.com/x", sha256: ` + strings.Repeat("ab", 32) + `}}
  - path: /etc/empty
directories:
  - {path: /var/lib/app, mode: 0700, owner: 1000}
links:
  - {path: /etc/localtime, target: ../usr/share/zoneinfo/UTC}
workloads:
  web: &web
    services:
      web: {image: "registry.example/web:1", network_mode: host}
  text: |
    services:
      a: {image: demo, network_mode: host}
`

func TestParse(t *testing.T) {
	c, problems := Parse([]byte(full))
	if len(problems) > 0 {
		t.Fatalf("Parse: problems %v; want none", problems)
	}
	no := false
	want := Config{
		Ketch: 1, Hostname: "web-1.example.com", Timezone: "UTC",
		SSH:   SSH{Keys: []Key{key1}, TrustedUserCAKeys: []Key{key2}, Port: 2222},
		Users: []User{{Name: "anna", Keys: []Key{`from="10.0.0.0/8",command="echo \"a b\"" ` + key1}}},
		Files: []File{
			{Node: Node{Path: "/etc/motd"}, Contents: Contents{Data: []byte("Ahoy.\n")}},
			{Node: Node{Path: "/var/lib/app/a", Owner: Owner{1000, 1001}}, Mode: Mode{0o600, true}, Once: &no, Contents: Contents{Data: []byte("zipped")}},
			{Node: Node{Path: "/etc/data"}, Mode: Mode{0o755, true}, Contents: Contents{Data: []byte("a b")}},
			{Node: Node{Path: "/etc/far"}, Contents: Contents{Source: "https://example.com/x", Hash: "sha256-" + strings.Repeat("ab", 32)}},
			{Node: Node{Path: "/etc/empty"}},
		},
		Directories: []Directory{{Node: Node{Path: "/var/lib/app", Owner: Owner{1000, 1000}}, Mode: Mode{0o700, true}}},
		Links:       []Link{{Node: Node{Path: "/etc/localtime"}, Target: "../usr/share/zoneinfo/UTC"}},
	}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreFields(Config{}, "Workloads")); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	var names []string
	for _, w := range c.Workloads {
		names = append(names, fmt.Sprintf("%s %d", w.Name, len(w.Refused)))
	}
	if diff := cmp.Diff([]string{"web 0", "text 0"}, names); diff != "" {
		t.Errorf("workloads (-want +got):\n%s", diff)
	}
}

// TestProblems: each has its path, line and column, and costs what it is about.
func TestProblems(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
		rest       func(c Config) bool // what must be left of the configuration
	}{
		{"nothing", "", []string{"is empty"}, nil},
		{"not YAML", "ketch: 1\n\thostname: a", []string{"line 2, column 1: found"}, nil},
		{"not a mapping", "- ketch", []string{"line 1, column 1: want a mapping", "line 1, column 1: want ketch: 1"}, nil},
		{"no version", "hostname: a", []string{"line 1, column 1: want ketch: 1"}, nil},
		{"another version", "ketch: 2\nhostname: a", []string{"line 1, column 8: ketch: want ketch: 1"}, func(c Config) bool { return c.Hostname == "" }},
		{"two documents", "ketch: 1\n---\nketch: 1", []string{"holds more than one YAML document"}, nil},
		{"unknown key", "ketch: 1\nhostname: a\nhosts: b", []string{"line 3, column 1: hosts: there is no such key"}, func(c Config) bool { return c.Hostname == "a" }},
		{"key spelt wrong", "ketch: 1\nssh: {Trusted_User_CA_Keys: []}", []string{"line 2, column 7: ssh.Trusted_User_CA_Keys: there is no such key; it is written trusted-user-ca-keys"}, nil},
		{"key twice", "ketch: 1\nhostname: a\nhostname: b", []string{"line 3, column 1: hostname: is there twice"}, nil},
		{"null", "ketch: 1\nhostname:\n", []string{"line 2, column 10: hostname: has no value"}, nil},
		{"wrong types", "ketch: 1\nhostname: [a]\nusers: b\nssh: {port: x}", []string{
			"line 2, column 11: hostname: want text, not a list or a mapping", "line 3, column 8: users: want a list", "line 4, column 13: ssh.port: \"x\" is not a whole number"}, nil},
		{"ports", "ketch: 1\nssh: {port: 65536}", []string{"line 2, column 13: ssh.port: 65536 is no port"}, func(c Config) bool { return c.SSH.Port == 0 }},
		{"port zero", "ketch: 1\nssh: {port: 0}", []string{"line 2, column 13: ssh.port: 0 is no port"}, nil},
		{"host name", "ketch: 1\nhostname: -a", []string{`line 2, column 11: hostname: "-a" is no host name`}, func(c Config) bool { return c.Hostname == "" }},
		{"later", "ketch: 1\ndns: [a]\nnetwork: {version: 2}\nhostname: a", []string{
			"line 2, column 6: dns: is not supported yet", "line 3, column 10: network: is not supported yet"}, func(c Config) bool { return c.Hostname == "a" }},
		{"a bad key among good ones", "ketch: 1\nssh:\n  keys:\n  - " + key1 + "\n  - ssh-ed25519 AAAA\n  - " + key2, []string{
			`line 5, column 5: ssh.keys.1: "ssh-ed25519 AAAA": the key is cut off`}, func(c Config) bool { return slices.Equal(c.SSH.Keys, []Key{key1, key2}) }},
		{"a user with an unknown key", "ketch: 1\nusers:\n- name: anna\n  shell: /bin/sh\n  ssh-keys: [" + key1 + ", x]", []string{
			"line 4, column 3: users.0.shell: there is no such key", "line 5, column " + fmt.Sprint(len("  ssh-keys: [")+len(key1)+3) + ": users.0.ssh-keys.1: \"x\" is no public key"},
			func(c Config) bool { return len(c.Users) == 1 && slices.Equal(c.Users[0].Keys, []Key{key1}) }},
		{"a user without a name", "ketch: 1\nusers: [{ssh-keys: []}, {name: Ä}]", []string{
			"line 2, column 9: users.0: name is missing", `line 2, column 32: users.1.name: "Ä" is no name of a user`}, func(c Config) bool { return len(c.Users) == 0 }},
		{"a bad file among good ones", "ketch: 1\nfiles:\n- path: /etc/a\n- {path: /etc/b, mode: 644}\n- {path: /etc/c}", []string{
			`line 4, column 24: files.1.mode: "644" are no permissions`}, func(c Config) bool {
			return len(c.Files) == 2 && c.Files[0].Path == "/etc/a" && c.Files[1].Path == "/etc/c"
		}},
		{"paths", "ketch: 1\nfiles: [{path: /usr/bin/x}, {path: /etc/../usr/x}, {path: etc/x}, {path: /etc}, {path: /run/ketch/access.json}, {path: /etc/hostname}, {path: /etc/x}, {path: /etc/x}]", []string{
			"files.0.path: /usr/bin/x: a configuration writes below /etc, /run, /var only", "files.1.path: ", "files.2.path: ", "files.3.path: ",
			"files.4.path: /run/ketch/access.json cannot be written", "files.5.path: /etc/hostname cannot be written: the key hostname is for that", "files.7.path: /etc/x is there twice"},
			func(c Config) bool { return len(c.Files) == 1 }},
		{"contents", "ketch: 1\nfiles:\n- {path: /etc/a, contents: {text: a, base64: YQ==}}\n- {path: /etc/b, contents: {base64: '!'}}\n- {path: /etc/c, contents: {source: 'ftp://h/'}}\n- {path: /etc/d, contents: {source: 'http://h/'}}\n- {path: /etc/e, contents: {source: 'data:,a', sha256: " + strings.Repeat("0", 64) + "}}\n- {path: /etc/f, contents: {base64: YQ==, gzip: true}}\n- {path: /etc/g, contents: {text: a, sha256: ab}}", []string{
			"line 3, column 28: files.0.contents: want one of text, base64 and source", "files.1.contents: is not in base64", `files.2.contents: "ftp://h/": want a data:, https: or http: URL`,
			"files.3.contents: sha256: is missing", "files.4.contents: the content is another", "files.5.contents: is not compressed by gzip", "files.6.contents: sha256: is for what source gives"}, nil},
		{"owners", "ketch: 1\nfiles: [{path: /etc/a, owner: anna}, {path: /etc/b, owner: '1:x'}, {path: /etc/c, owner: 4294967295}]", []string{
			`files.0.owner: "anna" is no owner`, `files.1.owner: "1:x" is no owner`, "files.2.owner: "}, nil},
		{"authorities", "ketch: 1\ncertificate-authorities: [{name: a, contents: x}, {name: B, contents: ''}, {name: c}]", []string{
			"certificate-authorities.2: contents is missing", "certificate-authorities.0.contents: is no certificate in PEM", "certificate-authorities.1.name: "}, nil},
		{"time zone", "ketch: 1\ntimezone: Europe/Berlin", []string{`line 2, column 11: timezone: "Europe/Berlin" is not supported yet`}, nil},
		{"merge keys", "ketch: 1\nx: &a {path: /etc/a}\nfiles: [{<<: *a}]", []string{"x: there is no such key", "files.0.<<: merge keys are not supported", "files.0: path is missing"}, nil},
		{"workload as a mapping", "ketch: 1\nworkloads:\n  web:\n    services:\n      web:\n        image: demo\n        network_mode: host\n        ports: ['80:80']\n  good:\n    services: {a: {image: demo, network_mode: host}}", []string{
			"line 8, column 16: workloads.web.services.web.ports: not supported in this version"}, func(c Config) bool {
			return len(c.Workloads) == 2 && len(c.Workloads[0].Refused) == 1 && c.Workloads[0].Refused[0].Name == "web-web" && c.Workloads[1].Refused == nil
		}},
		{"workload as text", "ketch: 1\nworkloads:\n  web: |\n    services:\n      web:\n        image: demo\n", []string{
			"line 5, column 1: workloads.web: services.web.network_mode: "}, nil},
		{"workload of two names", "ketch: 1\nworkloads: {web: {name: shop, services: {a: {image: demo, network_mode: host}}}}", []string{
			`workloads.web: the project is called "shop" in its file`}, func(c Config) bool { return len(c.Workloads) == 1 && len(c.Workloads[0].Refused) == 1 }},
		{"workload of the wrong kind", "ketch: 1\nworkloads: {web: [a]}", []string{"workloads.web: want a Compose file"}, func(c Config) bool { return len(c.Workloads) == 0 }},
	} {
		c, problems := Parse([]byte(test.text))
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		for _, want := range test.want {
			if !slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, want) }) {
				t.Errorf("%s: problems are\n%s\nwant %q", test.name, strings.Join(got, "\n"), want)
			}
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: problems are\n%s\nwant %d", test.name, strings.Join(got, "\n"), len(test.want))
		}
		if test.rest != nil && !test.rest(c) {
			t.Errorf("%s: the rest is %+v", test.name, c)
		}
	}
}

// TestBombs: what is meant to take all memory or time is refused soon.
func TestBombs(t *testing.T) {
	laughs := "ketch: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		laughs += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	for name, text := range map[string]string{
		"aliases":      laughs + "users: *a12\n",
		"in workload":  laughs + "workloads: {web: {x-a: *a12, services: {}}}\n",
		"size":         "ketch: 1\nhostname: " + strings.Repeat("a", 2<<20),
		"items":        "ketch: 1\nusers: [" + strings.Repeat("a,", 500_000) + "]",
		"depth":        "ketch: 1\nusers: " + strings.Repeat("[", 50_000),
		"a long value": "ketch: 1\nhostname: " + strings.Repeat("ä", 100_000),
		"a long key":   "ketch: 1\nusers: [{? " + strings.Repeat("ä", 100_000) + " : x}]",
		"a cycle":      "ketch: 1\nworkloads: {web: &a {x-b: *a}}",
	} {
		_, problems := Parse([]byte(text))
		if len(problems) == 0 || len(problems) > 101 {
			t.Errorf("%s: %d problems; want some, and not too many", name, len(problems))
		}
		for _, p := range problems {
			if len(p.String()) > 1000 {
				t.Errorf("%s: a problem takes %d bytes to tell", name, len(p.String()))
			}
		}
	}
}

func TestMerge(t *testing.T) {
	image, _ := Parse([]byte("ketch: 1\nhostname: image\nssh: {keys: [" + key1 + "], port: 22}\nfiles: [{path: /etc/a, contents: image}, {path: /etc/b, contents: image}]\nworkloads: {web: {services: {a: {image: one, network_mode: host}}}}"))
	cloud, _ := Parse([]byte("ketch: 1\nhostname: cloud\nusers: [{name: core, ssh-keys: [" + key1 + ", " + key2 + "]}]\nlinks: [{path: /etc/a, target: b}]\nworkloads: {web: {services: {a: {image: two, network_mode: host}}}}"))
	m := Merge(Layer{"image", image}, Layer{"cloud", cloud})
	if m.Hostname != "cloud" || m.SSH.Port != 22 || len(m.Files) != 1 || m.Files[0].Path != "/etc/b" || len(m.Links) != 1 || len(m.Workloads) != 1 || !strings.Contains(string(m.Workloads[0].Text), "two") {
		t.Errorf("Merge = %+v", m.Config)
	}
	if diff := cmp.Diff([]User{{Name: "core", Keys: []Key{key1, key2}}}, m.Users); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	want := map[string]string{"hostname": "cloud", "ssh.port": "image", "users.core": "image, cloud", "files./etc/a": "cloud", "files./etc/b": "image", "workloads.web": "cloud"}
	if diff := cmp.Diff(want, m.Origins); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
}

// schema compiles the schema, as an editor does.
func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("ketch.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("ketch.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// validate holds YAML against the schema.
func validate(t testing.TB, s *jsonschema.Schema, text string) error {
	t.Helper()
	var value any
	if err := yaml.Load([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(instance)
}

// TestSchema: what Parse takes the schema takes, and what is of a wrong form both refuse.
func TestSchema(t *testing.T) {
	s := schema(t)
	if err := validate(t, s, full); err != nil {
		t.Errorf("the schema refuses what Parse takes: %v", err)
	}
	for _, wrong := range []string{
		"hostname: a", "ketch: 2", "ketch: 1\nhosts: a", "ketch: 1\nusers: a", "ketch: 1\nusers: [{ssh-keys: []}]", "ketch: 1\ndns: [a]", "ketch: 1\nntp: {servers: ['a b']}", "ketch: 1\nntp: {servers: ['a:']}",
		"ketch: 1\nssh: {port: 0}", "ketch: 1\nssh: {port: 65536}", "ketch: 1\nssh: {keys: [x]}", "ketch: 1\nlinks: [{path: /etc/a}]",
		"ketch: 1\nfiles: [{path: /etc/a, mode: rw}]", "ketch: 1\nfiles: [{path: /etc/a, owner: anna}]", "ketch: 1\nfiles: [{path: /etc/a, once: 1}]",
		"ketch: 1\nfiles: [{path: /etc/a, contents: {texts: a}}]", "ketch: 1\ntimezone: Mars", "ketch: 1\nworkloads: {web: [a]}",
	} {
		if _, problems := Parse([]byte(wrong)); len(problems) == 0 {
			t.Errorf("Parse(%q) takes it", wrong)
		}
		if err := validate(t, s, wrong); err == nil {
			t.Errorf("the schema takes %q", wrong)
		}
	}
}

func TestParseKey(t *testing.T) {
	for text, want := range map[string]string{
		key1:                           key1,
		"  " + key1 + "\n":             key1,
		"restrict " + key2:             "restrict " + key2,
		`environment="A= B" ` + key2:   `environment="A= B" ` + key2,
		"":                             "",
		"ssh-dss AAAAB3NzaC1kc3MAAACB": "",
		key1 + "\n" + key2:             "",
		strings.Replace(key1, "ssh-ed25519", "ssh-rsa", 1): "",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5":                 "",
		"-----BEGIN OPENSSH PRIVATE KEY-----":              "",
	} {
		got, err := ParseKey(text)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("ParseKey(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestUnpack(t *testing.T) {
	bomb, _ := base64.StdEncoding.DecodeString(packed(strings.Repeat("a", MaxContents+1)))
	if _, err := Unpack(bomb, true, ""); err == nil || !strings.Contains(err.Error(), "unpacks to more") {
		t.Errorf("Unpack of a bomb = %v", err)
	}
	short, _ := base64.StdEncoding.DecodeString(packed("hello"))
	if _, err := Unpack(short[:len(short)-4], true, ""); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Unpack of a part = %v", err)
	}
	hash := fmt.Sprintf("sha256-%X", sha256.Sum256(short))
	if data, err := Unpack(short, true, hash); err != nil || string(data) != "hello" {
		t.Errorf("Unpack = %q, %v", data, err)
	}
	if _, err := Unpack([]byte("hello"), false, hash); err == nil || !strings.Contains(err.Error(), "the content is another") {
		t.Errorf("Unpack of another content = %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("ketch: 1\nworkloads: {web: &a {x-b: *a}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems := Parse(text)
		for _, file := range c.Files {
			if err := CheckPath(file.Path); err != nil {
				t.Errorf("a file is let through: %v", err)
			}
		}
		for _, p := range problems {
			if p.Text == "" || p.Line < 0 || p.Column < 0 {
				t.Errorf("a problem says nothing: %+v", p)
			}
		}
	})
}
