package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []Service
	}{
		{"the host's users", "services: {web: {image: demo, network_mode: host, userns_mode: host}}", []Service{
			{Name: "site-web", Image: "docker.io/library/demo:latest", Restart: Restart{When: Never}, HostIDs: true}}},
		{"smallest", "services: {web: {image: demo, network_mode: host}}", []Service{
			{Name: "site-web", Image: "docker.io/library/demo:latest", Restart: Restart{When: Never}}}},
		{"lists", `
name: shop
version: "3"
x-comment: anything
services:
  web:
    image: registry.example/web:1.2
    entrypoint: ["/bin/web", "-v"]
    command: serve --name "a b"
    environment: [B=2, "A=1=1", "EMPTY="]
    labels: [org.ketch.console=true]
    network_mode: host
    read_only: true
    restart: on-failure:3
    user: "65534:65534"
    working_dir: /srv
`, []Service{{Name: "shop-web", Image: "registry.example/web:1.2",
			Entrypoint: []string{"/bin/web", "-v"}, Command: []string{"serve", "--name", "a b"},
			Environment: []string{"A=1=1", "B=2", "EMPTY="}, Labels: map[string]string{ConsoleLabel: "true"},
			ReadOnly: true, Restart: Restart{OnFailure, 3}, User: "65534:65534", WorkingDir: "/srv"}}},
		{"mappings, two services, anchors", `
x-base: &base {image: demo, network_mode: host, restart: always, environment: {N: 5, ON: "true", DOLLAR: $$x}}
services:
  b: *base
  a: {<<: *base, restart: no, command: []}
`, []Service{
			{Name: "site-a", Image: "docker.io/library/demo:latest", Command: []string{}, Environment: []string{"DOLLAR=$x", "N=5", "ON=true"}, Restart: Restart{When: Never}},
			{Name: "site-b", Image: "docker.io/library/demo:latest", Environment: []string{"DOLLAR=$x", "N=5", "ON=true"}, Restart: Restart{When: Always}},
		}},
		{"limits", `
services:
  a: {image: demo, network_mode: host, mem_limit: 64m, cpus: 0.5, pids_limit: 100, labels: {org.ketch.essential: "true"}}
  b: {image: demo, network_mode: host, mem_limit: 134217728, cpus: "2", pids_limit: -1}
  c: {image: demo, network_mode: host, mem_limit: 0, cpus: 0, pids_limit: 0}
`, []Service{
			{Name: "site-a", Image: "docker.io/library/demo:latest", Restart: Restart{When: Never}, Labels: map[string]string{EssentialLabel: "true"},
				Limits: Limits{Memory: 64 << 20, CPUs: 0.5, PIDs: 100}},
			{Name: "site-b", Image: "docker.io/library/demo:latest", Restart: Restart{When: Never}, Limits: Limits{Memory: 128 << 20, CPUs: 2}},
			{Name: "site-c", Image: "docker.io/library/demo:latest", Restart: Restart{When: Never}},
		}},
		{"variable with a default", "services: {web: {image: 'demo:${TAG:-1}', network_mode: host}}", []Service{
			{Name: "site-web", Image: "docker.io/library/demo:1", Restart: Restart{When: Never}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse("/etc/site.yaml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			for i := range test.want {
				test.want[i].File = "/etc/site.yaml"
				_, test.want[i].Key, _ = strings.Cut(test.want[i].Name, "-")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	// service is a whole file around one more attribute.
	service := func(attribute string) string {
		return "services:\n  web:\n    image: demo\n    network_mode: host\n    " + attribute + "\n"
	}
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "empty"},
		{"no YAML", "services: {", "site.yaml:2: "},
		{"no mapping", "- a", "mapping"},
		{"no image", "services:\n  web: {network_mode: host}", ":2: service \"web\" has neither"},
		{"bad image", "services:\n  web:\n    image: UPPER CASE\n    network_mode: host", ":3: services.web.image: "},
		{"no network mode", "services:\n  web: {image: demo}", ":2: services.web.network_mode: "},
		{"bridge", "services: {web: {image: demo, network_mode: bridge}}", "services.web.network_mode"},
		{"ports", service("ports: ['80:80']"), ":5: services.web.ports: not supported"},
		{"volumes", service("volumes: ['/a:/b']"), ":5: services.web.volumes: not supported"},
		{"userns_mode", service("userns_mode: keep-id"), ":5: services.web.userns_mode: \"keep-id\" is not supported"},
		{"privileged", service("privileged: true"), ":5: services.web.privileged: not supported"},
		{"build", service("build: ."), ":5: services.web.build: not supported"},
		{"depends_on", service("depends_on: [web]"), ":5: services.web.depends_on: not supported"},
		{"deploy", service("deploy: {replicas: 2}"), ":5: services.web.deploy: not supported"},
		{"mem_limit", service("mem_limit: 1m"), ":5: services.web.mem_limit: 1048576 bytes"},
		{"mem_limit, no number", service("mem_limit: much"), ":5: 'services[web].mem_limit' invalid size"},
		{"negative mem_limit", service("mem_limit: -5"), ":5: services.web.mem_limit"},
		{"cpus", service("cpus: 0.001"), ":5: services.web.cpus"},
		{"negative cpus", service("cpus: -1"), ":5: services.web.cpus"},
		{"cpus, none", service("cpus: .nan"), "NaN"},
		{"pids_limit", service("pids_limit: -2"), ":5: services.web.pids_limit"},
		{"memswap_limit", service("memswap_limit: 1g"), ":5: services.web.memswap_limit: not supported"},
		{"env_file", service("env_file: /etc/passwd"), ":5: services.web.env_file: not supported"},
		{"extends", service("extends: {file: /etc/other.yaml, service: x}"), ":5: services.web.extends: not supported"},
		{"include", "include: [/etc/other.yaml]\n" + service(""), ":1: include: not supported"},
		{"networks", "networks: {n: {}}\n" + service(""), ":1: networks"},
		{"secrets", "secrets: {s: {file: /etc/shadow}}\n" + service(""), ":1: secrets"},
		{"unknown key", service("imgae: demo"), ":5: services.web.imgae is nothing that the Compose specification knows"},
		{"wrong type", service("environment: 5"), ":5: services.web.environment must be a mapping"},
		{"restart", service("restart: sometimes"), ":5: services.web.restart: restart policy"},
		{"variable", service("user: $USER"), ":5: error while interpolating services.web.user: variable USER"},
		{"environment without a value", service("environment: [HOME]"), ":5: services.web.environment.HOME: no value"},
		{"several faults", service("cpus: 0.001\n  b: {image: demo}"), ":5: services.web.cpus: 0.001 is not between 0.01 and 8192\n/etc/site.yaml:6: services.b.network_mode: \"\" is not supported in this version: it must be host"},
		{"key twice", service("restart: always\n    restart: always"), ":6: mapping key \"restart\" already defined"},
		{"fault in what an alias names", "x-a: &a\n  image: demo\n  ports: ['1:1']\nservices:\n  web: {<<: *a, network_mode: host}", ":3: services.web.ports"},
		{"misspelt label", service("labels: {org.ketch.esential: 'true'}"), ":5: services.web.labels.org.ketch.esential: no such label"},
		{"label of another prefix", service("labels:\n      - ketch.essential=true"), "services.web.labels.ketch.essential: no such label; Ketch's begin with org.ketch."},
		{"label with another value", service("labels:\n      org.ketch.essential: yes"), ":6: services.web.labels.org.ketch.essential: \"yes\" is neither true nor false"},
		{"dot in a service's name", "services: {w.environment: {image: demo, network_mode: host, privileged: true}}", "w.environment"},
		{"upper case", "services: {Web: {image: demo, network_mode: host}}", "Web"},
		{"two documents", service("") + "---\nservices: {b: {image: demo, network_mode: host, ports: ['1:1']}}", ":7: services.b.ports"},
		{"alias bomb", "x-a: &a [x,x,x,x,x,x,x,x,x]\nx-b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nx-c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nx-d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\nx-e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nx-f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\nx-g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nx-h: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n" + service(""), "site.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse("/etc/site.yaml", []byte(test.text))
			if err == nil {
				t.Fatalf("Parse = %+v; want an error with %q", got, test.want)
			}
			if text := err.Error(); !strings.HasPrefix(text, "/etc/site.yaml:") || !strings.Contains(text, test.want) {
				t.Errorf("Parse = %v; want the file first, and %q", err, test.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml":     "services: {b-c: {image: demo, network_mode: host}}",
		"a-b.yml":    "services: {c: {image: demo, network_mode: host}, d: {image: demo, network_mode: host}}",
		"bad.yaml":   "services: {x: {image: demo, network_mode: host, ports: ['1:1']}}",
		"large.yaml": strings.Repeat("#", MaxFile+1),
		"README":     "not a Compose file",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set := Load(dir)
	var got []string
	for _, service := range set.Services {
		got = append(got, service.Name)
	}
	if diff := cmp.Diff([]string{"a-b-c", "a-b-d"}, got); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
	for _, want := range []string{"a.yaml:1: services.b-c: service a-b-c is already defined in", "bad.yaml:1: services.x.ports", "large.yaml: 1048577 bytes"} {
		if err := set.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v; want %q in it", err, want)
		}
	}
	if set := Load(filepath.Join(dir, "none")); set.Services != nil || set.Refused != nil || set.Err() != nil {
		t.Errorf("Load of no directory = %+v; want nothing", set)
	}
	if set := Load(filepath.Join(dir, "README")); len(set.Refused) != 1 || !set.Refused[0].Essential {
		t.Errorf("Load of what is no directory = %+v; want it refused, and essential", set)
	}
}

func TestProject(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/Shop/compose.yaml": "shop", "/srv/shop/docker-compose.yml": "shop", "/srv/shop/site.yaml": "site", "/etc/ketch/compose/compose.yaml": "compose",
	} {
		text := []byte("services: {web: {image: demo, network_mode: host}}")
		services, err := Parse(path, text)
		if got := Project(path, text); got != want || err != nil || services[0].Name != want+"-web" {
			t.Errorf("Project(%s) = %s; services %+v, %v; want %s", path, got, services, err, want)
		}
	}
}

// TestRefused: what is told of the services in a file that is refused. What cannot
// be told makes them essential.
func TestRefused(t *testing.T) {
	type refused struct {
		Name      string
		Essential bool
		Reason    string // a part of it
	}
	service := func(lines string) string {
		return "services:\n  web:\n    image: demo\n    network_mode: host\n    ports: ['1:1']\n" + lines
	}
	const ports = "/etc/site.yaml:5: services.web.ports: not supported"
	for _, test := range []struct {
		name, text string
		want       []refused
	}{
		{"no label", service(""), []refused{{"site-web", false, ports}}},
		{"essential", service("    labels: {org.ketch.essential: 'true'}"), []refused{{"site-web", true, ports}}},
		{"essential, a boolean", service("    labels: {org.ketch.essential: true}"), []refused{{"site-web", true, ports}}},
		{"essential, a list", service("    labels: [a=b, org.ketch.essential=true]"), []refused{{"site-web", true, ports}}},
		{"not essential", service("    labels: {org.ketch.essential: 'false', org.ketch.console: 'true', other: x}"), []refused{{"site-web", false, ports}}},
		{"not essential, a list", service("    labels: [org.ketch.essential=false]"), []refused{{"site-web", false, ports}}},
		{"a variable", service("    labels: {org.ketch.essential: '${E:-true}'}"), []refused{{"site-web", true, ports}}},
		{"a variable in a key", service("    labels: ['org.ketch.${E:-essential}=true']"), []refused{{"site-web", true, ports}}},
		{"misspelt", service("    labels: {org.ketch.esential: 'true'}"), []refused{{"site-web", true, "ports"}}},
		{"the other prefix", service("    labels: {ketch.essential: 'true'}"), []refused{{"site-web", true, "ports"}}},
		{"merged", "x-a: &a {labels: {org.ketch.essential: 'true'}}\n" + service("    <<: *a"), []refused{{"site-web", true, "ports"}}},
		{"labels that are none", service("    labels: org.ketch.essential"), []refused{{"site-web", true, "labels"}}},
		{"an empty value", service("    labels: {org.ketch.essential: }"), []refused{{"site-web", true, ports}}},
		{"labels from elsewhere", service("    label_file: x"), []refused{{"site-web", true, "label_file"}}},
		{"extends", service("    extends: {service: x}"), []refused{{"site-web", true, "extends"}}},
		{"include", "include: [x.yaml]\n" + service(""), []refused{{"site-web", false, "ports"}, {"site", true, "include"}}},
		{"two services, one fault", service("  db: {image: db, network_mode: host, labels: {org.ketch.essential: 'true'}}"),
			[]refused{{"site-web", false, ports}, {"site-db", true, ports}}},
		{"two services, two faults", service("  db: {image: db, network_mode: host, volumes: ['/a:/a']}"),
			[]refused{{"site-web", false, ports}, {"site-db", false, "/etc/site.yaml:6: services.db.volumes: not supported"}}},
		{"its own name", "name: shop\n" + service(""), []refused{{"shop-web", false, "ports"}}},
		{"no name", "name: 'no name'\nservices:\n  'a b': {image: demo, ports: ['1:1']}", []refused{{`"no name"-"a b"`, false, "a b"}}},
		{"bad indentation", "services:\n  web:\n  image: demo\n  labels: {org.ketch.essential: 'true'}\n",
			[]refused{{"site-web", true, "services"}, {"site-image", true, "services"}, {"site-labels", false, "services"}}},
		{"no YAML", "services: {web: {image: demo", []refused{{"site", true, "/etc/site.yaml:"}}},
		{"no YAML at the end", service("  }"), []refused{{"site", true, "/etc/site.yaml:"}}},
		{"nothing", "", []refused{{"site", true, "empty"}}},
		{"no mapping", "- a", []refused{{"site", true, "mapping"}}},
		{"services misspelt", "service: {web: {image: demo}}", []refused{{"site", true, "service"}}},
		{"no services", "services: {}\nvolumes: {a: {}}", []refused{{"site", false, "volumes"}}},
		{"an alias of itself", "services: &a\n  web: *a", []refused{{"site-web", false, "/etc/site.yaml"}}},
	} {
		set := new(Set)
		set.Add("/etc/site.yaml", []byte(test.text))
		if len(set.Services) > 0 || len(set.Refused) != len(test.want) {
			t.Errorf("%s: set = %+v; want %d refused services", test.name, set, len(test.want))
			continue
		}
		for i, got := range set.Refused {
			want := test.want[i]
			if got.Name != want.Name || got.Essential != want.Essential || !strings.Contains(got.Reason(), want.Reason) || strings.Contains(got.Reason(), "\n") {
				t.Errorf("%s: refused[%d] = %s, essential %v, %s; want %+v", test.name, i, got.Name, got.Essential, got.Reason(), want)
			}
		}
	}
}

// The demo's file must parse: it is part of every image.
func TestParseDemo(t *testing.T) {
	text, err := os.ReadFile("../../rootfs/demo/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("/etc/ketch/compose/demo.yaml", text)
	if err != nil || len(got) != 1 || got[0].Name != "demo-hello" || !got[0].Console() {
		t.Errorf("Parse of the demo = %+v, %v; want demo-hello on the console", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("services: {web: {image: demo, network_mode: host}}"))
	f.Add([]byte("name: a\nservices:\n  w:\n    image: d\n    network_mode: host\n    command: [a, b]\n    environment: {A: 1}\n"))
	f.Add([]byte("services: {w: {image: 'd:${T:-1}', network_mode: host, ports: ['1:1']}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		services, err := Parse("/etc/site.yaml", text)
		if err != nil {
			set := new(Set)
			if set.Add("/etc/site.yaml", text); len(set.Refused) == 0 || set.Err() == nil {
				t.Errorf("Add(%q) = %+v; want it refused", text, set)
			}
			return
		}
		for _, service := range services {
			if service.Image == "" || !names.MatchString(service.Name) {
				t.Errorf("Parse(%q) accepted %+v", text, service)
			}
		}
	})
}
