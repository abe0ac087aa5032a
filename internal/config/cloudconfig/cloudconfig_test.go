package cloudconfig

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/testkit"
)

const key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N anna@home"

func zipped(text string) string {
	return base64.StdEncoding.EncodeToString(testkit.Gzip([]byte(text)))
}

func TestParse(t *testing.T) {
	text := `#cloud-config
hostname: web-1
fqdn: web-2.example.com
preserve_hostname: false
package_update: false
ssh_authorized_keys:
  - ` + key1 + `
users:
  - default
  - name: anna
    lock_passwd: true
    ssh_authorized_keys: ["` + key1 + `"]
write_files:
  - path: /etc/a
    content: |
      hello
    permissions: '0600'
    owner: root:root
  - {path: /etc/b, encoding: b64, content: aGVsbG8=}
  - {path: /etc/c, encoding: gz+b64, content: ` + zipped("hello") + `}
  - {path: /etc/d, encoding: gzip, content: !!binary "` + zipped("hello") + `"}
  - {path: /etc/e, content: !!binary "aGVsbG8=", append: false, defer: true}
timezone: Etc/UTC
ntp:
  enabled: true
  servers: [time.example, "[fd00::1]:1123"]
  pools: [pool.example]
`
	got, problems := Parse([]byte(text))
	if len(problems) > 0 {
		t.Fatalf("problems %v; want none", problems)
	}
	hello := config.Contents{Data: []byte("hello")}
	want := config.Config{
		Hostname: "web-1", Timezone: "UTC",
		NTP:   config.NTP{Servers: []config.TimeServer{"time.example", "[fd00::1]:1123", "pool.example"}},
		SSH:   config.SSH{Keys: []config.Key{key1}},
		Users: []config.User{{Name: "core"}, {Name: "anna", Keys: []config.Key{key1}}},
		Files: []config.File{
			{Node: config.Node{Path: "/etc/a"}, Mode: config.Mode{Bits: 0o600, Set: true}, Contents: config.Contents{Data: []byte("hello\n")}},
			{Node: config.Node{Path: "/etc/b"}, Contents: hello},
			{Node: config.Node{Path: "/etc/c"}, Contents: hello},
			{Node: config.Node{Path: "/etc/d"}, Contents: hello},
			{Node: config.Node{Path: "/etc/e"}, Contents: hello},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestHostname(t *testing.T) {
	for text, want := range map[string]string{
		"fqdn: web.example.com":                                                   "web",
		"fqdn: web.example.com\nhostname: other":                                  "other",
		"fqdn: web.example.com\nhostname: other\nprefer_fqdn_over_hostname: true": "web.example.com",
		"fqdn: web.example.com\nhostname: a_b":                                    "web",
		"hostname: a_b":                                                           "",
	} {
		if got, _ := Parse([]byte("#cloud-config\n" + text)); got.Hostname != want {
			t.Errorf("%q gives the name %q; want %q", text, got.Hostname, want)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
		rest       func(c config.Config) bool
	}{
		{"empty", "", []string{"is empty"}, nil},
		{"a list", "- a", []string{"line 2, column 1: want a mapping"}, nil},
		{"commands, packages, units", "runcmd: [ls]\npackages: [vim]\ncoreos: {units: [], update: {group: beta}}\nhostname: a", []string{
			"line 2, column 9: runcmd: is not supported: the machine has no shell", "line 3, column 11: packages: is not supported", "coreos.units: is not supported: there is no systemd",
			"coreos.update: is not supported yet"}, func(c config.Config) bool { return c.Hostname == "a" }},
		{"unknown", "growpart: {mode: auto}\nresolv_conf: {}", []string{"line 2, column 1: growpart: is not supported", "resolv_conf: is not supported yet"}, nil},
		{"users", "users: [{name: anna, groups: wheel, ssh_authorized_keys: [" + key1 + ", x]}, {name: Anna}, {lock_passwd: false, name: bob}, 7]", []string{
			"users.0.groups: is not supported", `users.0.ssh_authorized_keys.1: "x" is no public key`, `users.1.name: "Anna" is no name`, "users.2.lock_passwd: false is not supported", `users.3: "7" is no name`},
			func(c config.Config) bool { return len(c.Users) == 2 && len(c.Users[0].Keys) == 1 }},
		{"files", "write_files:\n- {path: /etc/a}\n- {path: /bin/x}\n- {path: /etc/b, encoding: rot13}\n- {path: /etc/c, content: '!', encoding: b64}\n- {path: /etc/d, append: true}\n- {path: /etc/a}\n- {content: a}\n- {path: /etc/e, owner: anna:anna}\n- {path: /etc/f, permissions: 0o755}", []string{
			"line 4, column 10: write_files.1.path: /bin/x: a configuration writes below", `write_files.2: encoding "rot13" is none of`, "line 6, column 27: write_files.3.content: is not in base64",
			"write_files.4.append: true is not supported", "write_files.5.path: /etc/a is there twice", "write_files.6: path is missing", `write_files.7.owner: "anna:anna" is no owner`},
			func(c config.Config) bool { return len(c.Files) == 2 }},
		{"authorities", "ca_certs: {trusted: [x], remove_defaults: true}", []string{"ca_certs.remove_defaults: true is not supported", "ca_certs.trusted.0: is no certificate in PEM"}, nil},
		{"host name", "hostname: -a", []string{`hostname: "-a" is no host name`}, nil},
	} {
		got, problems := Parse([]byte("#cloud-config\n" + test.text))
		var lines []string
		for _, p := range problems {
			lines = append(lines, p.String())
		}
		for _, want := range test.want {
			if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, want) }) {
				t.Errorf("%s: problems are\n%s\nwant %q", test.name, strings.Join(lines, "\n"), want)
			}
		}
		if len(lines) != len(test.want) {
			t.Errorf("%s: problems are\n%s\nwant %d", test.name, strings.Join(lines, "\n"), len(test.want))
		}
		if test.rest != nil && !test.rest(got) {
			t.Errorf("%s: the rest is %+v", test.name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("#cloud-config\nhostname: a\nwrite_files: [{path: /etc/a, encoding: gz, content: !!binary aGVsbG8=}]\nusers: [default]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _ := Parse(text)
		for _, file := range got.Files {
			if err := config.CheckPath(file.Path); err != nil {
				t.Errorf("a file is let through: %v", err)
			}
		}
		for _, user := range got.Users {
			if err := config.CheckUser(user.Name); err != nil {
				t.Errorf("a user is let through: %v", err)
			}
		}
	})
}
