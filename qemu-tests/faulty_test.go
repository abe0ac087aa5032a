package qemutests

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// diskSize is the size of a machine's disk.
const diskSize = 6 * layout.GiB

// files are what a test puts on top of an image's layers, by their path in the
// tree: "usr/bin/containerd".
type files map[string][]byte

// script is a program for the shell of a debug image.
func script(text string) []byte { return []byte("#!/usr/bin/sh\n" + text + "\n") }

// guestProgram builds a static program of this module for the machine.
func guestProgram(t testing.TB, path string) []byte {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, path)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", path, err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// definitionPath is the definition that images with a fault extend.
func definitionPath() string {
	if path := os.Getenv("KETCH_DEFINITION"); path != "" {
		return path
	}
	return "../images/qemu.yaml"
}

// buildFaulty builds the image under test with one more layer on top of its own,
// and returns it as a disk that is a machine's size.
func buildFaulty(t testing.TB, changed files) (disk string) {
	t.Helper()
	return copyOf(t, buildVersion(t, "", changed), diskSize)
}

// writeLayer writes an OCI image layout with one image of one layer.
func writeLayer(t testing.TB, dir string, changed files) {
	t.Helper()
	l, err := oci.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	layer, err := l.WriteLayer(func(w io.Writer) error {
		_, err := w.Write(tarOf(t, changed))
		return err
	})
	if err == nil {
		_, err = l.Put("fault", oci.Image{Layer: layer}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tarOf makes an archive; what is no program does not mind being executable.
func tarOf(t testing.TB, content files) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content[name])), Mode: 0o755}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// faultyInit builds the real PID 1 with files of its package main added or
// replaced: a fault that the product has no door for. Go's overlay puts them
// there for this one build (go help build).
func faultyInit(t *testing.T, sources map[string]string) files {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for name, source := range sources {
		place, err := filepath.Abs(filepath.Join("../init", name))
		if err == nil {
			replace[place] = filepath.Join(dir, name)
			err = os.WriteFile(replace[place], []byte(source), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	overlay, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "init")
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(overlay, list, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-overlay", overlay, "-o", program, "github.com/ketch-os/ketch/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build PID 1 with a fault: %v\n%s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return files{layout.InitPath[1:]: data}
}

// faultyBoot is a PID 1 that has a fault from the beginning of a stage on:
// "initramfs", or "system", which is the init of the verified /usr.
func faultyBoot(t *testing.T, stage, fault string) files {
	t.Helper()
	condition := "os.Args[0] == layout.InitramfsInit"
	if stage == pid1.StageSystem {
		condition = "os.Args[0] != layout.InitramfsInit"
	}
	return faultyInit(t, map[string]string{"fault.go": fmt.Sprintf(`package main

import (
	"os"
	"sync"
	"time"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// A fault is free to use what PID 1 has.
var (
	_, _, _ = time.Sleep, crash.Go, kmsg.New
	_       sync.Mutex
)

func init() {
	if os.Getpid() == 1 && %s {
		%s
	}
}
`, condition, fault)})
}

// faultyLock is a PID 1 in which, on a machine that is up, a goroutine takes the
// lock of the timeline and never gives it back.
func faultyLock(t *testing.T) files {
	t.Helper()
	const place = "func (s *running) raiseLoopback() error {"
	system, err := os.ReadFile("../init/system.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(system), place) {
		t.Fatalf("init/system.go has no %q to put a fault into", place)
	}
	return faultyInit(t, map[string]string{
		"system.go": strings.Replace(string(system), place, place+" s.deadlock();", 1),
		"fault.go": `package main

import (
	"time"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/api/pid1"
)

func (s *running) deadlock() {
	crash.Go(s.m.Log, func() {
		time.Sleep(20 * time.Second)
		s.m.Timeline.Change(func(*pid1.Boot) { select {} })
	})
}
`})
}

// compile makes a static program of testdata/NAME.c. Guests have no libraries
// of ours, and a program of Go would be slow to start under emulation.
func compile(t testing.TB, name string) []byte {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	cmd := exec.Command(testkit.Tool(t, "gcc"), "-O2", "-Wall", "-Werror", "-static", "-o", program, filepath.Join("testdata", name+".c"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile %s.c: %v\n%s", name, err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// greedyWorkload is a container image with the greedy program, and the Compose
// file that runs it, again and again.
func greedyWorkload(t *testing.T) files {
	t.Helper()
	layer := tarOf(t, files{"greedy": compile(t, "greedy")})
	archive, err := oci.Archive("docker.io/library/greedy:latest", "latest", layer, oci.Image{Config: v1.Config{Entrypoint: []string{"/greedy"}}})
	if err != nil {
		t.Fatal(err)
	}
	return files{
		layout.ImagesDir[1:] + "/greedy.tar": archive,
		layout.EtcSkeleton[1:] + "/ketch/compose/greedy.yaml": []byte("services:\n  greedy:\n    image: greedy\n" +
			"    network_mode: host\n    restart: always\n    labels:\n      org.ketch.console: \"true\"\n"),
	}
}
