package qemutests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makePlatform runs a platform's target of the Makefile, which ends with ketch
// check, on the layers that are there, and returns the directory it wrote.
func makePlatform(t *testing.T, platform string) string {
	t.Helper()
	ketch, out := buildKetch(t), t.TempDir()
	args := []string{"-C", "..", "--old-file=layers", "--old-file=keys", platform, "KETCH=" + ketch, "OUT=" + out}
	if text, err := exec.Command("make", args...).CombinedOutput(); err != nil {
		t.Fatalf("make %q: %v\n%s", args, err, text)
	}
	dir := filepath.Join(out, platform)
	if page, err := os.ReadFile(filepath.Join(dir, "next-steps.md")); err != nil || !strings.HasPrefix(string(page), "# Ketch ") {
		t.Errorf("make %s: next-steps.md: %v: %.40q", platform, err, page)
	}
	return dir
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// spcrFile is a file with that table.
func spcrFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spcr")
	if err := os.WriteFile(path, spcr(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// spcr is an ACPI table that names the first serial port, without the header
// that QEMU puts before it (Microsoft, "Serial Port Console Redirection Table", revision 2).
func spcr() []byte {
	table := make([]byte, 44)
	copy(table, []byte{
		0, 0, 0, 0, // interface: 16550
		1, 8, 0, 1, 0xf8, 3, 0, 0, 0, 0, 0, 0, // base address: I/O port 0x3f8, bytes
		3, 4, 4, 0, 0, 0, // interrupt: 8259, IRQ 4
		7, 0, 1, 0, 3, 0, // 115200 baud, no parity, one stop bit, no flow control, ANSI
		0xff, 0xff, 0xff, 0xff, // no PCI device
	})
	return table
}
