package oslayers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/internal/testkit"
)

// project is a module with one layer of everything that needs no network.
var project = map[string]string{
	"go.mod":      "module tiny\n\ngo 1.26\n",
	"cmd/main.go": "package main\n\nfunc main() { print(\"tiny\") }\n",
	"scripts/product*": `#!/bin/sh
echo "making it" >&2
mkdir -p made && printf 6.1.0 >made/release && echo noise && cd made && pwd
`,
	"rootfs/tiny/layer.yaml": `
description: a layer for tests
version: {file: boot/linux.release}
labels: {org.example: label}
kernel: {command: scripts/product, files: {boot/linux.release: release}}
go: [{package: ./cmd, path: usr/bin/tiny}]
copy: {usr/share/single: single}
dirs: {usr/empty: 0700}
links: {usr/sbin/tiny: ../bin/tiny}
modes: {usr/share/secret: 0600}
`,
	"rootfs/tiny/single":                 "one\n",
	"rootfs/tiny/files/usr/share/secret": "hush\n",
	"rootfs/tiny/files/usr/bin/run*":     "#!/bin/sh\n",
	"rootfs/other/layer.yaml":            "description: another\nlinks: {usr/other: tiny}\n",
}

// write makes the project in a new directory; names that end in * can be executed.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name, program := strings.CutSuffix(name, "*")
		path := filepath.Join(dir, name)
		mode := fs.FileMode(0o666) // less the umask
		if program {
			mode = 0o777
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// cache is shared by the builds of one test.
func options(dir, cache string, names ...string) Options {
	return Options{Source: filepath.Join(dir, "rootfs"), Out: filepath.Join(dir, "out"), Cache: cache, Names: names}
}

func TestBuild(t *testing.T) {
	dir := write(t, project)
	var log bytes.Buffer
	o := options(dir, t.TempDir())
	o.Log = &log
	layers, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 2 || layers[0].Name != "other" || layers[1].Name != "tiny" || !layers[1].Rebuilt {
		t.Fatalf("Build = %+v", layers)
	}
	if !strings.Contains(log.String(), "making it") || !strings.Contains(log.String(), "MiB in ") {
		t.Errorf("log:\n%s", &log)
	}
	image := openImage(t, o.Out, layers[1].Image)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"org.opencontainers.image.title": "ketch tiny", "org.opencontainers.image.description": "a layer for tests",
		"org.opencontainers.image.version": "6.1.0", "org.example": "label",
	}
	if diff := cmp.Diff(want, config.Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	files := unpacked(t, image)
	modes := map[string]string{}
	for _, f := range files {
		modes[f.Name] = fmt.Sprintf("%c %o %s", f.Type, f.Mode, f.Link)
	}
	for name, want := range map[string]string{
		"usr/bin/tiny": "0 755 ", "usr/bin/run": "0 755 ", "usr/share/secret": "0 600 ", "usr/share/single": "0 644 ",
		"usr/sbin/tiny": "2 777 ../bin/tiny", "usr/empty/": "5 700 ", "boot/linux.release": "0 644 ",
		"usr/share/ketch/packages/tiny.json": "0 644 ",
	} {
		if modes[name] != want {
			t.Errorf("%s: %q; want %q", name, modes[name], want)
		}
	}
	if n := len(files); n != 15 {
		t.Errorf("%d entries in the layer; want 15: %v", n, modes)
	}
}

// openImage opens an image of a layout as go-containerregistry sees it.
func openImage(t *testing.T, dir string, digest v1.Hash) v1.Image {
	t.Helper()
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	image, err := path.Image(digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func unpacked(t *testing.T, image v1.Image) []listed {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers: %v, %v; want 1", layers, err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return list(t, r)
}

// The image that a layer carries must be one that tools can read.
func TestCarriedImage(t *testing.T) {
	dir := write(t, map[string]string{
		"go.mod": project["go.mod"], "cmd/main.go": project["cmd/main.go"],
		"rootfs/carrier/layer.yaml": `
description: carries an image
images:
  - path: usr/share/i.tar
    name: example.org/i:1
    user: "65534"
    ports: [80/tcp]
    program: {package: ./cmd, path: bin/i}
`,
	})
	o := options(dir, t.TempDir())
	layers, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := unpacked(t, openImage(t, o.Out, layers[0].Image))
	i := slices.IndexFunc(all, func(f listed) bool { return f.Name == "usr/share/i.tar" })
	inner := t.TempDir()
	untar := exec.Command(testkit.Tool(t, "tar"), "-xC", inner)
	untar.Stdin = strings.NewReader(all[i].Content)
	if output, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, output)
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	unpack := exec.Command(testkit.Tool(t, "umoci"), "unpack", "--rootless", "--image", inner+":1", bundle)
	if output, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("umoci: %v\n%s", err, output)
	}
	if output, err := exec.Command(filepath.Join(bundle, "rootfs/bin/i")).CombinedOutput(); err != nil || string(output) != "tiny" {
		t.Errorf("the image's program says %q, %v", output, err)
	}
	config, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil || !strings.Contains(string(config), `"/bin/i"`) {
		t.Errorf("runtime configuration: %s, %v; want the entrypoint /bin/i", config, err)
	}
}

// child, in the environment, makes this program build the project there and
// print what it got: a test of its own time zone and umask.
const child = "KETCH_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(child); dir != "" {
		layers, err := Build(context.Background(), options(dir, os.Getenv(child+"_CACHE")))
		fmt.Println(layers, err)
		return
	}
	os.Exit(m.Run())
}

func TestBuildIsReproducible(t *testing.T) {
	var outputs []string
	for _, host := range []struct {
		zone  string
		umask int
	}{{"Asia/Kathmandu", 0o077}, {"America/St_Johns", 0o002}} {
		old := syscall.Umask(host.umask)
		dir := write(t, project)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TZ="+host.zone, child+"="+dir, child+"_CACHE="+t.TempDir())
		output, err := cmd.CombinedOutput()
		syscall.Umask(old)
		if err != nil || !strings.Contains(string(output), "sha256:") {
			t.Fatalf("build in %s: %v\n%s", host.zone, err, output)
		}
		outputs = append(outputs, string(output))
		time.Sleep(10 * time.Millisecond) // no two builds at one time
	}
	if diff := cmp.Diff(outputs[0], outputs[1]); diff != "" {
		t.Errorf("two builds (-first +second):\n%s", diff)
	}
}

func TestBuildKnowsWhatHasChanged(t *testing.T) {
	dir := write(t, project)
	o := options(dir, t.TempDir())
	rebuilt := func() string {
		t.Helper()
		layers, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, l := range layers {
			if l.Rebuilt {
				names = append(names, l.Name)
			}
		}
		return strings.Join(names, " ")
	}
	change := func(name, content string, mode fs.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name   string
		change func()
		want   string
	}{
		{"first build", func() {}, "other tiny"},
		{"nothing", func() {}, ""},
		{"a carried file", func() { change("rootfs/tiny/files/usr/share/secret", "loud\n", 0o644) }, "tiny"},
		{"its time and group mode", func() { change("rootfs/tiny/files/usr/share/secret", "loud\n", 0o664) }, ""},
		{"its executable bit", func() { change("rootfs/tiny/files/usr/share/secret", "loud\n", 0o755) }, "tiny"},
		{"a copied file", func() { change("rootfs/tiny/single", "two\n", 0o644) }, "tiny"},
		{"a Go file", func() { change("cmd/main.go", "package main\n\nfunc main() { print(\"small\") }\n", 0o644) }, "tiny"},
		{"a Go file of nobody's", func() { change("unused.go", "package tiny\n", 0o644) }, ""},
		{"the product", func() {
			change("scripts/product", strings.Replace(project["scripts/product*"], "6.1.0", "6.1.1", 1), 0o755)
		}, "tiny"},
		{"a definition", func() { change("rootfs/other/layer.yaml", "description: another\nlinks: {usr/other: x}\n", 0o644) }, "other"},
		{"a layer that is gone", func() { os.RemoveAll(filepath.Join(o.Out, "blobs")) }, "other tiny"},
	} {
		step.change()
		if got := rebuilt(); got != step.want {
			t.Errorf("after a change of %s: rebuilt %q; want %q", step.name, got, step.want)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	base := map[string]string{"go.mod": "module tiny\n\ngo 1.26\n"}
	for _, test := range []struct{ name, yaml, want string }{
		{"no such package", "go: [{package: ./none, path: usr/bin/x}]", "./none"},
		{"outside the roots", "links: {etc/x: y}", `layer bad: links: add "etc/x"`},
		{"twice in one place", "links: {usr/x: y}\ndirs: {usr/x: 0755}", "layer bad: modes: add usr/x: the layer has it already"},
		{"mode of nothing", "modes: {usr/x: 0755}", "layer bad: modes: set the mode of usr/x"},
		{"no script", "kernel: {command: scripts/none, files: {boot/x: x}}", "layer bad: kernel: run scripts/none"},
		{"no directory from the script", "kernel: {command: ../../../../../../../../usr/bin/true, files: {boot/x: x}}", "not a directory"},
		{"no command", "kernel: {files: {boot/x: x}}", "command and files are required"},
		{"no version file", "version: {file: usr/x}", "layer bad: version: the layer has no file usr/x"},
		{"no version module", "version: {module: example.org/m}", "layer bad: version: no program"},
		{"image without a tag", "images: [{path: usr/i, name: example.org/i, program: {package: ./x, path: x}}]", ""},
		{"missing copy", "copy: {usr/x: none}", "layer bad: files: "},
		{"busybox without links", "busybox: {path: usr/bin/b, commands: [x]}", "layer bad: busybox: path and links are required"},
		{"unknown key", "lnks: {}", "layer.yaml:2: unknown key lnks"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{"rootfs/bad/layer.yaml": "description: bad\n" + test.yaml + "\n"}
			for name, content := range base {
				files[name] = content
			}
			dir := write(t, files)
			cache := t.TempDir()
			_, err := Build(t.Context(), options(dir, cache))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Build = %v; want an error with %q", err, test.want)
			}
			if left, _ := os.ReadDir(filepath.Join(cache, "work")); len(left) > 0 {
				t.Errorf("Build left %v in the cache", left)
			}
			if left, _ := os.ReadDir(filepath.Join(dir, "out/blobs/sha256")); len(left) > 0 {
				t.Errorf("Build left %v in the layout", left)
			}
		})
	}
	dir := write(t, base)
	if _, err := Build(t.Context(), options(dir, t.TempDir())); err == nil || !strings.Contains(err.Error(), "rootfs") {
		t.Errorf("Build without layers = %v; want an error that names the folder", err)
	}
	dir = write(t, project)
	if _, err := Build(t.Context(), options(dir, t.TempDir(), "tinny")); !strings.Contains(hint.Of(err), "other, tiny") {
		t.Errorf("Build(tinny) = %v, hint %q", err, hint.Of(err))
	}
}

// A failed layer leaves the layout as it was.
func TestBuildFailsWhole(t *testing.T) {
	dir := write(t, project)
	o := options(dir, t.TempDir())
	if _, err := Build(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(o.Out, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cmd/main.go"), []byte("package main\n\nfunc main() { x }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), "undefined: x") {
		t.Errorf("Build = %v; want the compiler's complaint", err)
	}
	after, err := os.ReadFile(filepath.Join(o.Out, "index.json"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the index has changed (%v):\n%s", err, after)
	}
	l, err := oci.Open(t.Context(), o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, _, ok := l.Image("tiny"); !ok {
		t.Error("the layer from before is gone")
	}
}

func TestCarryRefusesSpecialFiles(t *testing.T) {
	dir := write(t, project)
	fifo := filepath.Join(dir, "rootfs/tiny/files/usr/fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), options(dir, t.TempDir())); err == nil || !strings.Contains(err.Error(), fifo) {
		t.Errorf("Build = %v; want an error that names %s", err, fifo)
	}
}
