package configure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/layout"
)

const key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N anna@home"

// root is a machine's root directory.
func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"etc", "usr/share/ketch/etc/ssl/certs", "var/lib/ketch", "run/ketch"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tketch-abc\n", "usr/share/ketch/etc/ssl/certs/ca-certificates.crt": "image's\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// parsed is a configuration whose files belong to whoever runs the test.
func parsed(t *testing.T, text string) config.Merged {
	t.Helper()
	c, problems := config.Parse([]byte("ketch: 1\n" + text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	own := config.Owner{UID: os.Getuid(), GID: os.Getgid()}
	for i := range c.Files {
		c.Files[i].Owner = own
	}
	for i := range c.Directories {
		c.Directories[i].Owner = own
	}
	for i := range c.Links {
		c.Links[i].Owner = own
	}
	return config.Merge(config.Layer{Name: "test", Config: c})
}

// none is a network without anything on it.
type none struct{}

func (none) Fetch(context.Context, string) ([]byte, error) { return nil, errors.New("404 Not Found") }

func TestApply(t *testing.T) {
	dir := root(t)
	name := ""
	var servers []string
	a := &Applier{Root: dir, SetHostname: func(n string) error { name = n; return nil }, SetTimeServers: func(s []string) { servers = s }}
	m := parsed(t, `
hostname: web-1
ssh: {keys: ["`+key1+`"], port: 2222}
ntp: {servers: [time.example, "192.0.2.1:1123"]}
directories: [{path: /var/lib/app, mode: 0700}]
files:
- {path: /etc/a/b, mode: 0600, contents: hello}
- {path: /var/lib/app/once, contents: first}
- {path: /var/lib/app/each, once: false, contents: first}
- {path: /etc/far, contents: {source: "https://example.com/x"}}
- {path: /etc/after, contents: good}
links: [{path: /etc/l, target: a/b}]
`)
	errs := a.Apply(t.Context(), m, none{})
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "files: /etc/far: fetch https://example.com/x: 404") {
		t.Errorf("errors %v; want one, of /etc/far", errs)
	}
	for file, want := range map[string]string{
		"etc/hostname": "web-1\n", "var/lib/ketch/hostname": "web-1\n", "etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tweb-1\n",
		"etc/a/b": "hello", "etc/l": "hello", "etc/after": "good", "var/lib/app/once": "first",
	} {
		if got := read(t, dir, file); got != want {
			t.Errorf("%s = %q; want %q", file, got, want)
		}
	}
	if got := strings.Join(servers, " "); got != "time.example 192.0.2.1:1123" {
		t.Errorf("time servers %q", got)
	}
	if name != "web-1" {
		t.Errorf("host name %q; want web-1", name)
	}
	for file, want := range map[string]fs.FileMode{"etc/a/b": 0o600, "var/lib/app": fs.ModeDir | 0o700, "etc/after": 0o644, "run/ketch/access.json": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %v", file, info, err, want)
		}
	}
	file, err := access.Read(filepath.Join(dir, layout.AccessFile))
	if err != nil || file.Port != 2222 || len(file.Users) != 1 || file.Users[0].Name != "core" || file.Users[0].Keys[0] != key1 {
		t.Errorf("access = %+v, %v", file, err)
	}

	again := parsed(t, "files: [{path: /var/lib/app/once, contents: second}, {path: /var/lib/app/each, once: false, contents: second}, {path: /etc/a/b, contents: second}]")
	if errs := a.Apply(t.Context(), again, none{}); len(errs) > 0 {
		t.Error(errs)
	}
	for file, want := range map[string]string{"var/lib/app/once": "first", "var/lib/app/each": "second", "etc/a/b": "second"} {
		if got := read(t, dir, file); got != want {
			t.Errorf("the second time %s = %q; want %q", file, got, want)
		}
	}
	if len(servers) > 0 {
		t.Errorf("time servers %q, which nothing names any more", servers)
	}
	for _, gone := range []string{"var/lib/ketch/hostname", "run/ketch/access.json"} {
		if _, err := os.Stat(filepath.Join(dir, gone)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v; want that it is gone: nothing asks for it any more", gone, err)
		}
	}
}

// TestNoWayOut: a link that is there, or that the configuration makes, leads nowhere
// outside of the directory at the top.
func TestNoWayOut(t *testing.T) {
	dir := root(t)
	for link, target := range map[string]string{"etc/out": "../usr/share", "etc/abs": filepath.Join(dir, "usr"), "etc/fine": "ssl", "etc/file": "../usr/share/ketch/image.json"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "etc/ssl"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := &Applier{Root: dir, SetTimeServers: func([]string) {}}
	errs := a.Apply(t.Context(), parsed(t, "files: [{path: /etc/out/x}, {path: /etc/abs/x}, {path: /etc/fine/x}, {path: /etc/file, contents: mine}]\ndirectories: [{path: /etc/out/d}]\nlinks: [{path: /etc/abs/l, target: x}]"), none{})
	text := errors.Join(errs...)
	for _, path := range []string{"/etc/out/x", "/etc/abs/x", "/etc/out/d", "/etc/abs/l"} {
		if text == nil || !strings.Contains(text.Error(), path+": ") {
			t.Errorf("errors %v; want one of %s", text, path)
		}
	}
	err := filepath.WalkDir(filepath.Join(dir, "usr"), func(path string, d fs.DirEntry, err error) error {
		if base := filepath.Base(path); base == "x" || base == "d" || base == "l" || base == "image.json" {
			t.Errorf("%s was made", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if got := read(t, dir, "etc/file"); got != "mine" {
		t.Errorf("a link is not replaced by a file: %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "etc/ssl/x")); err != nil {
		t.Error(err)
	}
}

// TestNoWayIn: a link of an earlier configuration, or of the same one at the boot before,
// does not lead to what none may write.
func TestNoWayIn(t *testing.T) {
	dir := root(t)
	key := filepath.Join(dir, "var/lib/ketch/ssh/host_ed25519")
	if err := errors.Join(os.Mkdir(filepath.Dir(key), 0o700), os.WriteFile(key, []byte("the machine's"), 0o600)); err != nil {
		t.Fatal(err)
	}
	a := &Applier{Root: dir, SetTimeServers: func([]string) {}}
	const links = "links: [{path: /var/lib/x, target: ketch/ssh}, {path: /var/lib/y, target: ./z/../x/}, {path: /var/lib/top, target: ..}, " +
		"{path: /var/lib/loop, target: loop/a}, {path: /var/lib/fine, target: data}]\ndirectories: [{path: /var/lib/data}, {path: /var/lib/z}]"
	if errs := a.Apply(t.Context(), parsed(t, links), none{}); len(errs) > 0 {
		t.Fatal(errs)
	}
	errs := a.Apply(t.Context(), parsed(t, `
files:
- {path: /var/lib/x/host_ed25519, once: false, contents: mine}
- {path: /var/lib/y/host_ed25519, once: false, contents: mine}
- {path: /var/lib/top/lib/ketch/ssh/host_ed25519, once: false, contents: mine}
- {path: /var/lib/loop/f, contents: mine}
- {path: /var/lib/fine/f, contents: mine}
directories: [{path: /var/lib/x, mode: 0777}, {path: /var/lib/y/d, mode: 0777}, {path: /var/lib/top, mode: 0777}]
links: [{path: /var/lib/x/l, target: a}]
`), none{})
	text := errors.Join(errs...)
	for _, want := range []string{
		"/var/lib/x/host_ed25519: a link leads it to /var/lib/ketch/ssh/host_ed25519: ", "/var/lib/y/host_ed25519: a link leads it to /var/lib/ketch/ssh/host_ed25519: ",
		"/var/lib/top/lib/ketch/ssh/host_ed25519: a link", "/var/lib/loop/f: more than 40 links", "/var/lib/x: a link leads it to /var/lib/ketch/ssh: ",
		"/var/lib/y/d: a link", "/var/lib/top: a link leads it to /var: ", "/var/lib/x/l: a link",
	} {
		if text == nil || !strings.Contains(text.Error(), want) {
			t.Errorf("errors\n%v\nwant %q", text, want)
		}
	}
	if got := read(t, dir, "var/lib/ketch/ssh/host_ed25519"); got != "the machine's" {
		t.Errorf("the key is %q", got)
	}
	if info, err := os.Stat(filepath.Dir(key)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the key's directory: %v, %v", info, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(key)); err != nil || len(entries) != 1 {
		t.Errorf("beside the key there are %v, %v", entries, err)
	}
	if got := read(t, dir, "var/lib/data/f"); got != "mine" {
		t.Errorf("behind a link that is fine there is %q", got)
	}
}

// TestNoWayRound: what the machine writes of itself is not written behind a link either.
func TestNoWayRound(t *testing.T) {
	dir := root(t)
	own := filepath.Join(dir, "var/lib/ketch/certs/ca-certificates.crt")
	if err := errors.Join(
		os.Mkdir(filepath.Dir(own), 0o755), os.WriteFile(own, []byte("the machine's"), 0o600), os.Remove(filepath.Join(dir, "etc/hosts")),
		os.Symlink("../var/lib/ketch", filepath.Join(dir, "etc/ssl")), os.Symlink("ssl/certs/ca-certificates.crt", filepath.Join(dir, "etc/hosts")),
	); err != nil {
		t.Fatal(err)
	}
	a := &Applier{Root: dir, SetHostname: func(string) error { return nil }, SetTimeServers: func([]string) {}, owner: config.Owner{UID: os.Getuid(), GID: os.Getgid()}}
	text := fmt.Sprint(a.Apply(t.Context(), parsed(t, "hostname: web-1"), none{}))
	for _, want := range []string{"host name: open " + filepath.Join(dir, "etc/hosts") + ": is no plain file", "certificate authorities: a link leads out"} {
		if !strings.Contains(text, want) {
			t.Errorf("errors %s; want %q", text, want)
		}
	}
	if got := read(t, dir, "var/lib/ketch/certs/ca-certificates.crt"); got != "the machine's" {
		t.Errorf("behind the links there is %q", got)
	}
}

// TestInTheWay: what is there and is no file stays, and says so; the rest is written.
func TestInTheWay(t *testing.T) {
	dir := root(t)
	if err := os.MkdirAll(filepath.Join(dir, "etc/d/in"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := &Applier{Root: dir, SetTimeServers: func([]string) {}}
	errs := a.Apply(t.Context(), parsed(t, "files: [{path: /etc/d}, {path: /etc/hosts/x}, {path: /etc/good}]\nlinks: [{path: /etc/d/in, target: x}]"), none{})
	text := errors.Join(errs...).Error()
	for _, want := range []string{"/etc/d: ", "/etc/hosts/x: ", "/etc/d/in: there is a directory already"} {
		if !strings.Contains(text, want) {
			t.Errorf("errors are\n%s\nwant %q", text, want)
		}
	}
	read(t, dir, "etc/good")
	entries, _ := filepath.Glob(filepath.Join(dir, "etc/.ketch-*"))
	if len(entries) > 0 {
		t.Errorf("stand-ins are left: %v", entries)
	}
}

func TestWorkloads(t *testing.T) {
	dir := root(t)
	c, _ := config.Parse([]byte("ketch: 1\nworkloads: {good: {services: {a: {image: demo, network_mode: host}}}, bad: {services: {a: {image: demo}}}}"))
	a := &Applier{Root: dir, SetTimeServers: func([]string) {}, owner: config.Owner{UID: os.Getuid(), GID: os.Getgid()}}
	if errs := a.Apply(t.Context(), config.Merge(config.Layer{Config: c}), none{}); len(errs) > 0 {
		t.Error(errs)
	}
	if text := read(t, dir, "etc/ketch/compose/good.yaml"); !strings.Contains(text, "demo") {
		t.Errorf("good.yaml = %q", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "etc/ketch/compose/bad.yaml")); err == nil {
		t.Error("a file that was refused is written")
	}
}

// TestForget: what a later configuration does not ask for any more goes, also when
// another ketchd applies it; what the image has comes back; what is in /var stays.
func TestForget(t *testing.T) {
	dir := root(t)
	for name, text := range map[string]string{"motd": "image's", "ketch/compose/web.yaml": "image's"} {
		for _, at := range []string{"usr/share/ketch/etc", "etc"} {
			path := filepath.Join(dir, at, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("target", filepath.Join(dir, "usr/share/ketch/etc/link")); err != nil {
		t.Fatal(err)
	}
	apply := func(text string) {
		t.Helper()
		a := &Applier{Root: dir, SetTimeServers: func([]string) {}, owner: config.Owner{UID: os.Getuid(), GID: os.Getgid()}}
		if errs := a.Apply(t.Context(), parsed(t, text), none{}); len(errs) > 0 {
			t.Error(errs)
		}
	}
	apply("files: [{path: /etc/motd, contents: mine}, {path: /etc/own, contents: mine}, {path: /etc/link, contents: mine}, {path: /var/x, contents: mine}, {path: /run/y, contents: mine}]\n" +
		"links: [{path: /etc/l, target: motd}]\nworkloads: {web: {services: {a: {image: demo, network_mode: host}}}, own: {services: {a: {image: demo, network_mode: host}}}}")
	apply("files: [{path: /etc/stays, contents: mine}]")
	for name, want := range map[string]string{"etc/motd": "image's", "etc/ketch/compose/web.yaml": "image's", "var/x": "mine", "etc/stays": "mine"} {
		if got := read(t, dir, name); got != want {
			t.Errorf("%s = %q; want %q", name, got, want)
		}
	}
	for _, name := range []string{"etc/own", "etc/l", "run/y", "etc/ketch/compose/own.yaml"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v; want that it is gone", name, err)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "etc/link")); err != nil || target != "target" {
		t.Errorf("etc/link leads to %q, %v; want the image's link", target, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "etc/motd")); err != nil || info.Mode() != 0o640 {
		t.Errorf("etc/motd: %v, %v; want the image's mode", info, err)
	}
}

func TestOwnName(t *testing.T) {
	for hosts, want := range map[string]string{
		"": "127.0.1.1\tweb\n", "127.0.1.1\told\n": "127.0.1.1\tweb\n", "a\n127.0.1.1\told\nb\n": "a\nb\n127.0.1.1\tweb\n",
	} {
		if got := string(ownName([]byte(hosts), "web")); got != want {
			t.Errorf("ownName(%q) = %q; want %q", hosts, got, want)
		}
	}
}
