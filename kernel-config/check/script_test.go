package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// TestKernelFromTheCache gives scripts/kernel a product that it finds by its key:
// one that is as it was published is taken, any other is built again. A make and
// a tar that do nothing end that before it takes its time.
func TestKernelFromTheCache(t *testing.T) {
	testkit.File(t, "/usr/src/linux-source-6.1.tar.xz")
	for _, tool := range []string{"dpkg-query", "gcc", "ld", "sha256sum", "bash"} {
		testkit.Tool(t, tool)
	}
	dir := t.TempDir()
	write := func(path, content string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "bin/make"), "#!/bin/sh\nexit 1\n", 0o755)
	write(filepath.Join(dir, "bin/tar"), "#!/bin/sh\n", 0o755)
	kernel := func(args ...string) (string, error) {
		cmd := exec.Command("scripts/kernel", args...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := kernel("--path")
	if err != nil {
		t.Fatalf("scripts/kernel --path: %v: %s", err, out)
	}
	product := strings.TrimSpace(out)
	shell := func(dir, line string) string {
		t.Helper()
		cmd := exec.Command("bash", "-c", line)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return string(out)
	}
	publish := func() {
		t.Helper()
		if err := os.RemoveAll(product); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"vmlinuz", "config", "symbols", "linux.release", "linux.source", "seconds"} {
			write(filepath.Join(product, name), name+"\n", 0o644)
		}
		write(filepath.Join(product, "SHA256SUMS"), shell(product, "sha256sum -- *"), 0o644)
		write(filepath.Join(product, "checked"), shell("..", "cat {*.config,hardening.*,check/*.go} | sha256sum | cut -c 1-32"), 0o644)
	}
	publish()
	if out, err := kernel(); err != nil || strings.TrimSpace(out) != product {
		t.Errorf("a whole product: %v: %s", err, out)
	}
	for name, damage := range map[string]func(){
		"emptied":     func() { write(filepath.Join(product, "vmlinuz"), "", 0o644) },
		"changed":     func() { write(filepath.Join(product, "vmlinuz"), "vmlinuX\n", 0o644) },
		"missing":     func() { os.Remove(filepath.Join(product, "linux.source")) },
		"no digests":  func() { os.Remove(filepath.Join(product, "SHA256SUMS")) },
		"empty list":  func() { write(filepath.Join(product, "SHA256SUMS"), "", 0o644) },
		"another one": func() { write(filepath.Join(product, "SHA256SUMS"), "not digests\n", 0o644) },
	} {
		publish()
		damage()
		if out, err := kernel(); err == nil || !strings.Contains(out, "is damaged; building it again") {
			t.Errorf("%s: %v: %s; want that it is built again", name, err, out)
		}
	}
}
