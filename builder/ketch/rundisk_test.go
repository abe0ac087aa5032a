package main

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// ordinary is ketch run with nothing but an image.
func ordinary() *runOptions {
	size := cli.Size{Bytes: 4 * layout.GiB}
	return &runOptions{
		memory: cli.Size{Bytes: 512 * layout.MiB}, cpus: 1, disk: size, network: qemu.NetworkRestricted,
		build: buildOptions{maxSize: &cli.Size{Bytes: limit.Default}},
	}
}

// imageWith makes a disk that begins with a text; the rest is a hole.
func imageWith(t *testing.T, path, text string) {
	t.Helper()
	writeAll(t, path, text)
	if err := os.Truncate(path, 4*layout.GiB); err != nil {
		t.Fatal(err)
	}
}

func writeAll(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// prepare is what ketch run does before it starts the machine; the lock is held.
func prepare(t *testing.T, o *runOptions, image string) *machineDir {
	t.Helper()
	m, err := lockMachine(image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.machineDisk(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func giveBack(t *testing.T, m *machineDir) {
	t.Helper()
	if err := m.release(); err != nil {
		t.Fatal(err)
	}
}

// machineFiles are the files of a directory, each with its beginning; a missing directory has none.
func machineFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	begins := map[string]string{}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 64)
		n, _ := f.Read(head) // an empty file
		f.Close()
		begins[filepath.Base(file)] = strings.TrimRight(string(head[:n]), "\x00")
	}
	return begins
}

// wantFiles compares them; made-from needs only be there.
func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := machineFiles(t, dir)
	if _, ok := got[madeFrom]; ok {
		got[madeFrom] = ""
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s has %q; want %q", dir, got, want)
	}
}

// TestMachineLasts: the machine's disk lasts as long as its image, and then only
// what ketch has put there goes.
func TestMachineLasts(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.raw")
	imageWith(t, image, "one")
	m := prepare(t, ordinary(), image)
	wantFiles(t, m.path, map[string]string{diskFile: "one", madeFrom: ""})
	giveBack(t, m)

	for _, name := range append([]string{"notes", diskFile}, outlived...) {
		writeAll(t, m.file(name), "mine")
	}
	m = prepare(t, ordinary(), image)
	if got := machineFiles(t, m.path); got[diskFile] != "mine" || got[qemu.VariablesFile] != "mine" {
		t.Errorf("the same image: %q; want the files of the last run", got)
	}
	giveBack(t, m)

	imageWith(t, image, "another")
	if err := os.Truncate(image, 5*layout.GiB); err != nil {
		t.Fatal(err)
	}
	m = prepare(t, ordinary(), image)
	wantFiles(t, m.path, map[string]string{diskFile: "another", madeFrom: "", "notes": "mine"})
	writeAll(t, m.file(diskFile), "used")
	giveBack(t, m)

	o := ordinary()
	o.fresh = true
	giveBack(t, prepare(t, o, image))
	wantFiles(t, m.path, map[string]string{diskFile: "another", madeFrom: "", "notes": "mine"})
}

// TestMachineCutShort: a run that ended before its copy was whole leaves a directory
// that is still ours, and no half of a disk.
func TestMachineCutShort(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.raw")
	imageWith(t, image, "one")
	for _, left := range []map[string]string{
		{},
		{madeFrom: "nothing yet\n"},
		{madeFrom: "nothing yet\n", newDisk: "half"},
		{madeFrom: "nothing yet\n", diskFile: "old", qemu.VariablesFile: "old"},
	} {
		m := &machineDir{path: image + ".machine"}
		if err := os.MkdirAll(m.path, 0o777); err != nil {
			t.Fatal(err)
		}
		for name, text := range left {
			writeAll(t, m.file(name), text)
		}
		giveBack(t, prepare(t, ordinary(), image))
		wantFiles(t, m.path, map[string]string{diskFile: "one", madeFrom: ""})
		if err := os.RemoveAll(m.path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignDirectory: what is somebody else's stays as it is.
func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "disk.raw")
	imageWith(t, image, "one")
	theirs := map[string]string{"thesis.txt": "years", diskFile: "theirs"}
	for _, name := range []string{"run", "disk.raw.machine"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		for file, text := range theirs {
			writeAll(t, filepath.Join(dir, name, file), text)
		}
	}
	for _, fresh := range []bool{false, true} {
		m, err := lockMachine(image)
		if err != nil {
			t.Fatal(err)
		}
		o := ordinary()
		o.fresh = fresh
		if _, err = o.machineDisk(m); err == nil || !strings.Contains(err.Error(), "not a machine's directory") || hint.Of(err) == "" {
			t.Errorf("machineDisk() = %v; want a refusal with a hint", err)
		}
		giveBack(t, m)
	}
	for _, name := range []string{"run", "disk.raw.machine"} {
		wantFiles(t, filepath.Join(dir, name), theirs)
	}

	plain := filepath.Join(dir, "plain.raw")
	imageWith(t, plain, "one")
	writeAll(t, plain+".machine", "a file")
	m, err := lockMachine(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer giveBack(t, m)
	if _, err := ordinary().machineDisk(m); err == nil {
		t.Error("a file in the directory's place is no reason to stop")
	}
	if text, err := os.ReadFile(plain + ".machine"); string(text) != "a file" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

// TestTwoImages in one directory have a machine each.
func TestTwoImages(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one.raw", "two.raw"} {
		image := filepath.Join(dir, name)
		imageWith(t, image, name)
		m := prepare(t, ordinary(), image)
		defer giveBack(t, m)
	}
	for _, name := range []string{"one.raw", "two.raw"} {
		wantFiles(t, filepath.Join(dir, name+".machine"), map[string]string{diskFile: name, madeFrom: ""})
	}
}

// TestRunRefused: a run that cannot be has changed nothing: while another machine
// has the disk, when a port is taken, when an option is wrong; after a new image was
// built, and with --fresh.
func TestRunRefused(t *testing.T) {
	testkit.Tool(t, "qemu-system-x86_64")
	t.Setenv("KETCH_ACCEL", "tcg")
	image := filepath.Join(t.TempDir(), "disk.raw")
	imageWith(t, image, "one")
	running := prepare(t, ordinary(), image)
	writeAll(t, running.file(diskFile), "in use")
	imageWith(t, image, "built anew")
	if err := os.Truncate(image, 5*layout.GiB); err != nil {
		t.Fatal(err)
	}
	before := machineFiles(t, running.path)
	refused := func(want string, change func(*runOptions)) {
		t.Helper()
		o := ordinary()
		o.fresh = true
		change(o)
		var said bytes.Buffer
		err := o.run(t.Context(), &env{strings.NewReader(""), &said, &said}, []string{image})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ketch run: %v; want %q", err, want)
		}
		if after := machineFiles(t, running.path); !maps.Equal(before, after) {
			t.Errorf("after %q the machine's files are %q; want %q", want, after, before)
		}
	}
	refused(fmt.Sprintf("a machine runs from this disk (pid %d)", os.Getpid()), func(*runOptions) {})
	giveBack(t, running)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	refused(fmt.Sprintf("port %d of this host", port), func(o *runOptions) { o.ports = forwards{{Host: port, Guest: 80}} })
	refused("given twice", func(o *runOptions) { o.ports = forwards{{Host: 80, Guest: 80}, {Host: 80, Guest: 81}} })
	refused("--cpus 0", func(o *runOptions) { o.cpus = 0 })
	refused("--config: open", func(o *runOptions) { o.config = image + ".yaml" })
	t.Setenv("KETCH_ACCEL", "abacus")
	refused("KETCH_ACCEL", func(*runOptions) {})
}

// TestUnwritable: beside an image in /sys nobody keeps a disk, root neither.
func TestUnwritable(t *testing.T) {
	_, err := lockMachine("/sys/disk.raw")
	if err == nil || !strings.Contains(err.Error(), "keep the machine's disk in /sys/disk.raw.machine: ") || hint.Of(err) == "" {
		t.Errorf("lockMachine() = %v; want where the disk should be, and a hint", err)
	}
}

// TestNotInShell: who asks a debug image as one asks a production image is told how.
func TestNotInShell(t *testing.T) {
	o := &runOptions{remote: []string{"status", "--json"}}
	if got, want := o.notInShell(cli.Status(127), promise{debug: true}), "-- ketchctl status --json"; !strings.HasSuffix(got, want) {
		t.Errorf("notInShell() = %q; want %q", got, want)
	}
	asked := &runOptions{remote: []string{"ketchctl", "status"}}
	for _, got := range []string{
		o.notInShell(cli.Status(127), promise{}), o.notInShell(cli.Status(1), promise{debug: true}), o.notInShell(nil, promise{debug: true}),
		asked.notInShell(cli.Status(127), promise{debug: true}),
	} {
		if got != "" {
			t.Errorf("notInShell() = %q; want nothing", got)
		}
	}
}
