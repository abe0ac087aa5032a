package qemutests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// beside attaches another disk to a machine, before its own, as the kernel finds
// them, or after it.
func beside(o qemu.Options, other string, before bool) qemu.Options {
	const device = "virtio-blk-pci"
	o.Disk = []string{device}
	o.Extra = []string{"-drive", "if=none,id=other,format=raw,file=" + other}
	if before {
		o.Disk = []string{device + ",drive=other", device}
	} else {
		o.Extra = append(o.Extra, "-device", device+",drive=other")
	}
	return o
}

// untouched checks that nothing has been written to a disk since it was copied.
func untouched(t *testing.T, before, after string) {
	t.Helper()
	if changed := changedBlocks(t, before, after); len(changed) > 0 {
		t.Errorf("%d blocks of %s have been written to", len(changed), filepath.Base(filepath.Dir(after)))
	}
}

// runsFrom checks which disk a machine takes for its own.
func (m *machine) runsFrom(disk string) {
	m.t.Helper()
	s := m.status().System
	if s.Disk != disk || len(s.Degraded) > 0 {
		m.t.Errorf("the machine runs from %s, degraded: %q; want %s, and nothing wrong", s.Disk, s.Degraded, disk)
	}
	if mounts := m.shell("cat /proc/mounts"); !strings.Contains(mounts, "/dev/"+disk) || !strings.Contains(mounts, " /var ext4") {
		m.t.Errorf("/var is not on %s:\n%s", disk, mounts)
	}
}

// TestSecondDisk: a machine has another disk that carries Ketch. It takes the state
// partition of the disk that was booted, whichever comes first; and of two that
// nothing tells apart it takes neither.
func TestSecondDisk(t *testing.T) {
	t.Parallel()
	o := kept(t, newDisk(t))
	image, fresh := newDisk(t), newDisk(t)

	// At the first boot both are the image, to the last byte: the try that the boot
	// loader has counted tells them apart.
	m := boot(t, beside(o, fresh, true))
	m.runsFrom("vdb")
	m.shell("echo kept > /var/lib/ketch/test-file")
	m.powerOff()
	cleanState(t, o.Image)
	untouched(t, image, fresh)
	table, _ := readTable(t, o.Image)
	other, _ := readTable(t, fresh)
	if esp := layout.NumESP - 1; table.Partitions[esp].ID == other.Partitions[esp].ID {
		t.Error("the ESP has the GUID of the image; every machine wants its own")
	}

	// From then on the machine's disk has GUIDs of its own.
	m = boot(t, beside(o, fresh, false))
	m.runsFrom("vda")
	if got := m.shell("cat /var/lib/ketch/test-file"); got != "kept" {
		t.Errorf("after a boot beside a copy the file holds %q; want %q", got, "kept")
	}
	m.powerOff()
	untouched(t, image, fresh)

	// A copy that was made now has them, too.
	clone := copyOf(t, o.Image, 0)
	before := copyOf(t, o.Image, 0)
	m = boot(t, beside(o, clone, true))
	m.waitLine("degraded: state partition: the disks vda and vdb are copies of one another")
	if mounts := m.shell("cat /proc/mounts"); !strings.Contains(mounts, "tmpfs /var tmpfs") {
		t.Errorf("/var is not in memory:\n%s", mounts)
	}
	if problems := strings.Join(m.status().Problems, "\n"); !strings.Contains(problems, "it cannot be told which of them was booted") {
		t.Errorf("ketchctl status does not say why:\n%s", problems)
	}
	m.powerOff()
	untouched(t, before, clone)
	untouched(t, before, o.Image)

	m = boot(t, o) // the copy is taken away
	m.runsFrom("vda")
	m.powerOff()
}
