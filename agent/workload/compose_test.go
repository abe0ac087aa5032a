package workload

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
  a: {image: demo, network_mode: host, mem_limit: 64m, cpus: 0.5, pids_limit: 100, labels: {ketch.essential: "true"}}
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
		{"no YAML", "services: {", "site.yaml"},
		{"no mapping", "- a", "mapping"},
		{"no image", "services: {web: {network_mode: host}}", "web"},
		{"bad image", "services: {web: {image: 'UPPER CASE', network_mode: host}}", "services.web.image"},
		{"no network mode", "services: {web: {image: demo}}", "services.web.network_mode"},
		{"bridge", "services: {web: {image: demo, network_mode: bridge}}", "services.web.network_mode"},
		{"ports", service("ports: ['80:80']"), "services.web.ports is not supported"},
		{"volumes", service("volumes: ['/a:/b']"), "services.web.volumes is not supported"},
		{"privileged", service("privileged: true"), "services.web.privileged is not supported"},
		{"build", service("build: ."), "services.web.build is not supported"},
		{"depends_on", service("depends_on: [web]"), "services.web.depends_on is not supported"},
		{"deploy", service("deploy: {replicas: 2}"), "services.web.deploy is not supported"},
		{"mem_limit", service("mem_limit: 1m"), "services.web.mem_limit: 1048576 bytes"},
		{"mem_limit, no number", service("mem_limit: much"), "much"},
		{"negative mem_limit", service("mem_limit: -5"), "services.web.mem_limit"},
		{"cpus", service("cpus: 0.001"), "services.web.cpus"},
		{"negative cpus", service("cpus: -1"), "services.web.cpus"},
		{"cpus, none", service("cpus: .nan"), "NaN"},
		{"pids_limit", service("pids_limit: -2"), "services.web.pids_limit"},
		{"memswap_limit", service("memswap_limit: 1g"), "services.web.memswap_limit is not supported"},
		{"env_file", service("env_file: /etc/passwd"), "services.web.env_file is not supported"},
		{"extends", service("extends: {file: /etc/other.yaml, service: x}"), "services.web.extends is not supported"},
		{"include", "include: [/etc/other.yaml]\n" + service(""), "include is not supported"},
		{"networks", "networks: {n: {}}\n" + service(""), "networks"},
		{"secrets", "secrets: {s: {file: /etc/shadow}}\n" + service(""), "secrets"},
		{"unknown key", service("imgae: demo"), "imgae"},
		{"wrong type", service("environment: 5"), "services.web.environment"},
		{"restart", service("restart: sometimes"), "services.web.restart"},
		{"variable", service("user: $USER"), "services.web.user"},
		{"environment without a value", service("environment: [HOME]"), "services.web.environment.HOME"},
		{"dot in a service's name", "services: {w.environment: {image: demo, network_mode: host, privileged: true}}", "w.environment"},
		{"upper case", "services: {Web: {image: demo, network_mode: host}}", "Web"},
		{"two documents", service("") + "---\nservices: {b: {image: demo, network_mode: host, ports: ['1:1']}}", "services.b.ports"},
		{"alias bomb", "x-a: &a [x,x,x,x,x,x,x,x,x]\nx-b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nx-c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nx-d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\nx-e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nx-f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\nx-g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nx-h: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n" + service(""), "site.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse("/etc/site.yaml", []byte(test.text))
			if err == nil {
				t.Fatalf("Parse = %+v; want an error with %q", got, test.want)
			}
			if text := err.Error(); !strings.HasPrefix(text, "/etc/site.yaml: ") || !strings.Contains(text, test.want) {
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
		"large.yaml": strings.Repeat("#", maxFile+1),
		"README":     "not a Compose file",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	services, err := Load(dir)
	var got []string
	for _, service := range services {
		got = append(got, service.Name)
	}
	if diff := cmp.Diff([]string{"a-b-c", "a-b-d"}, got); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
	for _, want := range []string{"a.yaml: service a-b-c is already defined in", "bad.yaml: services.x.ports", "large.yaml: 1048577 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v; want %q in it", err, want)
		}
	}
	if services, err := Load(filepath.Join(dir, "none")); services != nil || err != nil {
		t.Errorf("Load of no directory = %v, %v; want nothing", services, err)
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
			return
		}
		for _, service := range services {
			if service.Image == "" || !names.MatchString(service.Name) {
				t.Errorf("Parse(%q) accepted %+v", text, service)
			}
		}
	})
}
