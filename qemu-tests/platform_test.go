package qemutests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// makePlatform runs a platform's target of the Makefile, which ends with ketch
// check, on the layers that are there, and returns the directory it wrote.
func makePlatform(t *testing.T, platform string) string {
	t.Helper()
	ketch, out := filepath.Join(t.TempDir(), "ketch"), t.TempDir()
	for _, args := range [][]string{
		{"go", "build", "-trimpath", "-buildvcs=false", "-o", ketch, "../builder/ketch"},
		{"make", "-C", "..", "--old-file=layers", "--old-file=keys", platform, "KETCH=" + ketch, "OUT=" + out},
	} {
		if text, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, text)
		}
	}
	return filepath.Join(out, platform)
}

// Each target writes what its platform takes, and breaks no rule of it.
func TestPlatformTargets(t *testing.T) {
	t.Parallel()
	for platform, files := range map[string][]string{
		"ec2": {"disk.raw", "disk.vmdk"}, "gce": {"disk.raw.tar.gz"}, "rackspace": {"disk.vhd.tar.gz"}, "onmetal": {"disk.qcow2"},
	} {
		dir := makePlatform(t, platform)
		for _, name := range files {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("make %s: %v", platform, err)
			}
		}
	}
}

// The image for OpenStack boots from its qcow2, on an ordinary machine.
func TestOpenStackImageBoots(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(makePlatform(t, "openstack"), "disk.qcow2")
	if info := runTool(t, "qemu-img", "info", disk); !strings.Contains(info, "compat: 0.10") {
		t.Errorf("qemu-img info: %s; want compat: 0.10", info)
	}
	m := start(t, qemu.Options{Image: disk, Drive: "format=qcow2"})
	m.waitLine(layout.ConsolePrefix + layout.SayRuntimeReady)
	m.powerOff()
}

// The image for machines of one's own can be checked by its downloader, and
// speaks on the serial port that the firmware names. There is no other way to
// know the port here: the command line names none.
func TestMetalImageUsesConsoleOfSPCR(t *testing.T) {
	t.Parallel()
	dir := makePlatform(t, "metal")
	testkit.Tool(t, "openssl")
	check := exec.Command("bash", "-euo", "pipefail", "-c", `sha256sum -c disk.raw.zst.sha256
openssl dgst -sha256 -verify <(openssl x509 -in "$0" -pubkey -noout) -signature disk.raw.zst.sig disk.raw.zst`, absolute(t, filepath.Join(keysDir, "db.crt")))
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	table := filepath.Join(t.TempDir(), "spcr")
	if err := os.WriteFile(table, spcr(), 0o666); err != nil {
		t.Fatal(err)
	}
	m := start(t, qemu.Options{Image: filepath.Join(dir, "disk.raw"), Extra: []string{"-acpitable", "sig=SPCR,rev=2,data=" + table}})
	m.waitLine(layout.ConsolePrefix + layout.SayRuntimeReady)
	m.powerOff()
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
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
