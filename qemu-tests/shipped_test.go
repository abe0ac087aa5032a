package qemutests

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// shipped is a file that a make target writes for a platform, and a machine that is
// like that platform's, as far as QEMU has it.
type shipped struct {
	platform string
	file     string
	unpack   string   // a shell's command that leaves the disk as "disk" beside the file; "": the file is it
	format   string   // of the disk, as QEMU calls it
	devices  []string // see qemu.Options.Disk
	serial   string   // see qemu.Options.Serial
	extra    []string
	before   func(t *testing.T, dir string) // looks at what is in out/PLATFORM; nil: at nothing
}

// shippedImages are those of all targets but qemu, which the other tests boot. Each
// is started by firmware, from its own format, as its user would: all that is in
// it is in use. EC2's raw disk is held against its VMDK instead.
func shippedImages(t *testing.T) []shipped {
	ahci := []string{"ich9-ahci,id=ahci", "ide-hd,bus=ahci.0"}
	return []shipped{
		{platform: "ec2", file: "disk.vmdk", format: "vmdk", devices: []string{"nvme,serial=ketch"}, before: sameDisk},
		{platform: "gce", file: "disk.raw.tar.gz", unpack: "tar -xSzf disk.raw.tar.gz -O disk.raw >disk", format: "raw",
			devices: []string{"virtio-scsi-pci", "scsi-hd"}},
		{platform: "openstack", file: "disk.qcow2", format: "qcow2"},
		// Its machines start by BIOS, which the image cannot: this one has firmware.
		{platform: "rackspace", file: "disk.vhd.tar.gz", unpack: "tar -xzf disk.vhd.tar.gz -O image.vhd >disk", format: "vpc", devices: ahci},
		// The console is the fifth serial port: here, one on PCI after the four.
		{platform: "onmetal", file: "disk.qcow2", format: "qcow2", devices: ahci, serial: "none",
			extra: []string{"-chardev", "stdio,id=console,signal=off", "-device", "pci-serial,chardev=console"}},
		// There is no way to know the port but the firmware's word.
		{platform: "metal", file: "disk.raw.zst", unpack: "zstd -qdc disk.raw.zst >disk", format: "raw", devices: ahci,
			extra: []string{"-acpitable", "sig=SPCR,rev=2,data=" + spcrFile(t)}, before: downloadable},
	}
}

// shippedOn is the image for a platform.
func shippedOn(t *testing.T, platform string) shipped {
	t.Helper()
	for _, s := range shippedImages(t) {
		if s.platform == platform {
			return s
		}
	}
	t.Fatalf("no image is shipped for %s", platform)
	return shipped{}
}

// staysGood is how long a machine is watched after its boot was good.
const staysGood = time.Minute

// trouble is what a machine that is well does not say.
var trouble = regexp.MustCompile(`(?i)degraded|has ended|keeps failing|refused|\berror\b|\bfail`)

// TestShippedImages boots every image that is for others than the tests, to a good
// boot that stays good. They have no door to ask at: the console, and what the
// machine leaves on its disk, must do.
func TestShippedImages(t *testing.T) {
	t.Parallel()
	for _, s := range shippedImages(t) {
		t.Run(s.platform, func(t *testing.T) {
			t.Parallel()
			dir := makePlatform(t, s.platform)
			if s.before != nil {
				s.before(t, dir)
			}
			disk := s.overlay(t, dir)
			m := boot(t, qemu.Options{
				Image: disk, Drive: "format=qcow2", Disk: s.devices, Serial: s.serial, Extra: s.extra, ExitOnReboot: true,
			})
			// The machine's clock goes at most as fast as the host's, and tells of itself below.
			select {
			case <-m.Done():
				t.Error("the machine has ended by itself")
			case <-time.After(staysGood + 5*time.Second):
				m.powerOff()
			}
			m.nothingWrong()
			s.leftGood(t, disk)
		})
	}
}

// sameDisk: the raw disk for EC2 is what is in the VMDK.
func sameDisk(t *testing.T, dir string) {
	t.Helper()
	runTool(t, "qemu-img", "compare", "-f", "raw", "-F", "vmdk", filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.vmdk"))
}

// downloadable: who downloads the image for machines of one's own can check it.
func downloadable(t *testing.T, dir string) {
	t.Helper()
	testkit.Tool(t, "openssl")
	check := exec.Command("bash", "-euo", "pipefail", "-c", `sha256sum -c disk.raw.zst.sha256
openssl dgst -sha256 -verify <(openssl x509 -in "$0" -pubkey -noout) -signature disk.raw.zst.sig disk.raw.zst`, absolute(t, filepath.Join(keysDir, "db.crt")))
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// overlay makes a machine's disk, larger than the image, on top of it: what is
// shipped is read as it is.
func (s shipped) overlay(t *testing.T, dir string) string {
	t.Helper()
	image := filepath.Join(dir, s.file)
	if s.unpack != "" {
		unpack := exec.Command("sh", "-c", s.unpack)
		unpack.Dir = dir
		if out, err := unpack.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", s.unpack, err, out)
		}
		image = filepath.Join(dir, "disk")
	}
	overlay := filepath.Join(t.TempDir(), "disk.qcow2")
	runTool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", s.format, overlay, "6G")
	return overlay
}

// nothingWrong looks at what the machine has said from its first word to the way down.
func (m *machine) nothingWrong() {
	m.t.Helper()
	said := m.Console.String()
	_, said, _ = strings.Cut(said, layout.ConsolePrefix)
	said, _, down := strings.Cut(said, layout.ConsolePrefix+layout.SayDown)
	if !down {
		m.t.Error("the console shows no way down")
	}
	for line := range strings.Lines(said) {
		if trouble.MatchString(line) {
			m.t.Errorf("the console shows %q", strings.TrimSpace(line))
		}
	}
}

// leftGood looks at what the machine has left on its disk.
func (s shipped) leftGood(t *testing.T, disk string) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.raw")
	runTool(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, raw)
	cleanState(t, raw)
	if e := onlyEntry(t, raw); strings.Contains(e.Path, "+") {
		t.Errorf("the boot entry after a good boot is %s; want it without a counter", e.Path)
	}
	var run pid1.Run
	if err := json.Unmarshal(fileOnState(t, raw, layout.CurrentRun), &run); err != nil {
		t.Fatalf("%s: %v", layout.CurrentRun, err)
	}
	switch {
	case run.Gate == nil || run.Gate.Outcome != pid1.GateGood || run.Boot.GoodUsec == 0:
		t.Errorf("the machine's own account is of no good boot: %+v", run)
	case run.Ended == nil || run.Fatal != "":
		t.Errorf("the machine's own account has no end, or a bad one: %+v", run)
	case run.Ended.Sub(run.Started)-time.Duration(run.Boot.GoodUsec)*time.Microsecond < staysGood:
		t.Errorf("the machine was good for less than %v: from %v after %d µs to %v", staysGood, run.Started, run.Boot.GoodUsec, run.Ended)
	}
	log := string(fileOnState(t, raw, filepath.Join(layout.LogDir, layout.KernelLog+".log")))
	if !strings.Contains(log, layout.SayGood) {
		t.Errorf("the kernel log that was kept does not say %q:\n%s", layout.SayGood, log)
	}
	before, _, _ := strings.Cut(log, layout.SayDown)
	for line := range strings.Lines(before) {
		if strings.Contains(line, layout.ConsolePrefix) && trouble.MatchString(line) {
			t.Errorf("the kernel log shows %q", strings.TrimSpace(line))
		}
	}
}

// fileOnState is a file below /var on a disk.
func fileOnState(t *testing.T, disk, path string) []byte {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, "debugfs"), "-R", "cat "+strings.TrimPrefix(path, "/var"), stateOn(t, disk)).Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("debugfs: %s: %d bytes, %v", path, len(out), err)
	}
	return out
}
