package qemutests

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/ketch-os/ketch/layout"
)

// oddFiles are what an enemy who has the disk, or a fault of it, may leave in /var
// where PID 1 and ketchd keep files of their own: each line is a command.
var oddFiles = []string{
	"rm -f /var/lib/ketch/machine-id",
	"mkfifo /var/lib/ketch/machine-id",
	"truncate -s 2147483648 /var/lib/ketch/hostname",
	"rm -f /var/lib/ketch/clock",
	"ln -s /run/ketch/target /var/lib/ketch/clock",
	"rm -f /var/lib/ketch/boot/previous.json",
	"ln -s /dev/zero /var/lib/ketch/boot/previous.json",
	"rm -f /var/lib/ketch/boot/current.json",
	"mkfifo /var/lib/ketch/boot/current.json",
	"rm -f /var/lib/ketch/gate.json",
	"mkdir /var/lib/ketch/gate.json",
	"echo secret > /var/lib/ketch/secret",
	"rm -f /var/log/ketch/containerd.log",
	"ln -s /var/lib/ketch/secret /var/log/ketch/containerd.log",
	"rm -f /var/log/ketch/ketchd.log",
	"mkfifo /var/log/ketch/ketchd.log",
	"rm -f /var/log/ketch/kernel.log",
	"mkdir /var/log/ketch/kernel.log",
	"ln -s /var/lib/ketch/secret /var/log/ketch/x.log",
}

// crashVariable is where the kernel keeps a dump of its log: the first part of the
// first dump of a boot, not compressed (drivers/firmware/efi/efi-pstore.c).
const crashVariable = "/sys/firmware/efi/efivars/dump-type0-1-1-1760000000-D-cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0"

// writeVariable writes a variable that UEFI defines, for good.
func (m *machine) writeVariable(name string, value []byte) {
	m.t.Helper()
	text := base64.StdEncoding.EncodeToString(append([]byte{7, 0, 0, 0}, value...)) // its attributes
	m.shell("echo " + text + " | base64 -d > /tmp/variable")
	m.shell("dd bs=4096 if=/tmp/variable of=/sys/firmware/efi/efivars/" + name + "-8be4df61-93ca-11d2-aa0d-00e098032b8c")
}

// oldEntry is an entry of the firmware's boot menu as an installer leaves it: it names
// the ESP by the GUID that it had before the first boot (UEFI 2.10, 3.1.3: load
// option; 10.3.5: hard drive and file path).
func oldEntry(t *testing.T) []byte {
	t.Helper()
	table, _ := readTable(t, imagePath(t))
	esp := table.Partitions[layout.NumESP-1]
	text := func(s string) (units []uint16) { return append(utf16.Encode([]rune(s)), 0) }
	file := text(`\EFI\BOOT\BOOTX64.EFI`)
	var path, option bytes.Buffer
	for _, part := range []any{
		[]byte{4, 1, 42, 0}, uint32(layout.NumESP), esp.First, esp.Last - esp.First + 1, esp.ID, []byte{2, 2}, // GPT, by GUID
		[]byte{4, 4}, uint16(4 + 2*len(file)), file,
		[]byte{0x7f, 0xff, 4, 0},
	} {
		if err := binary.Write(&path, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []any{uint32(1), uint16(path.Len()), text("an installer's"), path.Bytes()} { // active
		if err := binary.Write(&option, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return option.Bytes()
}

// TestOddLeftovers: all of that at once, a dump in the firmware whose first line is a
// path, an entry of its boot menu that leads nowhere any more, and files on the ESP
// that are not the system's. The machine comes up, says what is wrong, and nothing is written
// where it should not be.
func TestOddLeftovers(t *testing.T) {
	t.Parallel()
	o := kept(t, newDisk(t))
	m := boot(t, o)
	m.shell("mount -t efivarfs -o remount,rw efivarfs /sys/firmware/efi/efivars")
	m.shell(`printf '\007\000\000\000/../../../../run/owned#1 Part1\nlast words\n' > /tmp/record && dd if=/tmp/record of=` + crashVariable + " bs=4096")
	m.writeVariable("Boot00FF", oldEntry(t))
	m.writeVariable("BootNext", []byte{0xff, 0})
	for _, command := range oddFiles {
		m.shell(command)
	}
	m.powerOff()
	// Files beside the kernel image on the ESP, which the boot stub reads.
	extra, raw := "::/"+onlyEntry(t, o.Image).Path+".extra.d", filepath.Join(t.TempDir(), "x.raw")
	if err := os.WriteFile(raw, make([]byte, layout.MiB), 0o666); err != nil {
		t.Fatal(err)
	}
	table, _ := readTable(t, o.Image)
	runTool(t, "mmd", "-i", volume(o.Image, table), extra)
	runTool(t, "mcopy", "-i", volume(o.Image, table), raw, extra+"/x.raw")

	m = boot(t, o)
	m.waitLine("failed to load Boot00FF") // and the firmware has gone on
	degraded := strings.Join(m.status().Problems, "\n")
	for _, want := range []string{"read machine ID: ", "is no plain file", "read host name: ", "is too large", "files on the ESP are not the system's (1, of 1024 KiB, "} {
		if !strings.Contains(degraded, want) {
			t.Errorf("the status says nothing of %q:\n%s", want, degraded)
		}
	}
	if mounts := m.shell("cat /proc/mounts"); !strings.Contains(mounts, " /var ext4") {
		t.Errorf("/var is not the state partition:\n%s", mounts)
	}
	if id := m.shell("cat /etc/machine-id"); len(id) != 32 {
		t.Errorf("the machine has the ID %q", id)
	}
	if name := m.shell("cat /etc/hostname"); !strings.HasPrefix(name, "ketch-") {
		t.Errorf("the machine is called %q", name)
	}
	if got := m.shell("cat /var/lib/ketch/secret"); got != "secret" {
		t.Errorf("something was written behind a link: %q", got)
	}
	if got := m.shell("ketchctl logs containerd"); strings.Contains(got, "secret") || got == "" {
		t.Errorf("the log of containerd is %q", got)
	}
	if got, err := m.Shell(m.ctx, "ketchctl logs x"); err == nil {
		t.Errorf("a log that is a link is read: %q", got)
	}
	if got := m.shell("ls /run"); strings.Contains(got, "owned") {
		t.Errorf("PID 1 has followed the path: /run has %s", got)
	}
	if got := m.shell("cat " + layout.CrashDir + "/*-unknown-0/dmesg.txt"); !strings.Contains(got, "last words") {
		t.Errorf("the record is kept as %q; want it as it was", got)
	}
	m.powerOff()
}
