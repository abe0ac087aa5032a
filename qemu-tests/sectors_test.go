package qemutests

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// TestSectors4096 boots an image for disks of 4096-byte sectors on one, firmware and
// boot loader included: the boot is good, /var has grown to the disk's end and is on
// it, a second boot finds it, and the disk verifies as one that a machine has used.
func TestSectors4096(t *testing.T) {
	t.Parallel()
	built := buildChanged(t, nil, func(d *image.Definition) { d.SectorSize = 4096 })
	t.Run("tools", func(t *testing.T) { toolsAgree4096(t, built) })
	disk := copyOf(t, built, diskSize)
	m := boot(t, qemu.Options{Image: disk})
	if size := m.shell("cat /sys/class/block/vda/queue/logical_block_size"); size != "4096" {
		t.Fatalf("the machine's disk has sectors of %s bytes; want 4096", size)
	}
	m.waitLine(layout.SayStateGrown)
	if got := m.status().System.Degraded; len(got) > 0 {
		t.Errorf("degraded: %q", got)
	}
	if mounts := m.shell("cat /proc/mounts"); !strings.Contains(mounts, "/dev/vda8 /var ext4") {
		t.Errorf("/var is not on the disk:\n%s", mounts)
	}
	m.shell("echo kept > /var/lib/ketch/test-file && sync")
	m.powerOff()
	for _, c := range verifyDisk(t, disk) {
		if c.Err != nil {
			t.Errorf("after a boot: %s", c.Line())
		}
	}
	m = boot(t, direct(t, disk))
	if kept := m.shell("cat /var/lib/ketch/test-file"); kept != "kept" {
		t.Errorf("the second boot finds %q in /var", kept)
	}
	m.powerOff()
}

// toolsAgree4096 shows the image to the tools of others, on a loop device with such sectors.
func toolsAgree4096(t *testing.T, path string) {
	testkit.Root(t, "to attach a loop device")
	out, err := exec.Command(testkit.Tool(t, "losetup"), "--find", "--show", "--partscan", "--read-only", "--sector-size", "4096", path).Output()
	testkit.Need(t, "loop devices with sectors of 4096 bytes", err)
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { runTool(t, "losetup", "--detach", device) })
	if out := runTool(t, "sgdisk", "-v", device); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	out4096 := runTool(t, "sfdisk", "--dump", device)
	for _, want := range []string{"label: gpt", "sector-size: 4096", `name="ESP"`, `name="ketch_state"`} {
		if !strings.Contains(out4096, want) {
			t.Errorf("sfdisk --dump has no %q:\n%s", want, out4096)
		}
	}
	runTool(t, "fsck.vfat", "-n", partition(t, path, layout.NumESP))
}
