package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ketch/builder/qemu"
	"ketch/efi/uki"
	"ketch/layout"
	"ketch/layout/oracle"
)

const (
	// shutdowns is how many TestShutdowns does; KETCH_SHUTDOWNS overrides.
	shutdowns = 50
	// shutdownLimit is for one way down under write load, which takes two seconds
	// where there are processors to spare.
	shutdownLimit = time.Minute
	// fullCheckEvery is how often the whole file system is checked, not only what
	// its superblock says.
	fullCheckEvery = 10
)

// way is a way to bring a machine down.
type way struct {
	name string
	do   func(*machine) error
	say  string // what the console says
}

func ways() []way {
	shell := func(line string) func(*machine) error {
		return func(m *machine) error {
			_, _ = m.Shell(m.ctx, line) // the machine may be gone before it can answer
			return nil
		}
	}
	return []way{
		{"power button", func(m *machine) error { return m.Command(m.ctx, "system_powerdown") }, "power-off (asked by the power button"},
		{"SIGTERM", shell("kill -15 1"), "power-off (asked by SIGTERM"},
		{"Ctrl-Alt-Del", pressCtrlAltDel, "reboot (asked by Ctrl-Alt-Del"},
		{"poweroff", shell("poweroff"), "power-off (asked by poweroff"},
		{"reboot", shell("reboot"), "reboot (asked by reboot"},
	}
}

func pressCtrlAltDel(m *machine) error {
	var keys []map[string]any
	for _, key := range []string{"ctrl", "alt", "delete"} {
		keys = append(keys, map[string]any{"type": "qcode", "data": key})
	}
	return m.CommandWith(m.ctx, "send-key", map[string]any{"keys": keys})
}

// TestShutdowns brings machines down again and again while they write to the
// state partition, each time in another way. Every time the file system is
// clean, and what was flushed is there at the next boot.
func TestShutdowns(t *testing.T) {
	t.Parallel()
	disk := buildFaulty(t, files{"usr/bin/load": compile(t, "load")})
	count := shutdowns
	if text := os.Getenv("KETCH_SHUTDOWNS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("KETCH_SHUTDOWNS: %v", err)
		}
	}
	kernel := withoutFirmware(t, disk)
	const machines = 2
	for n := range machines {
		t.Run(fmt.Sprintf("machine %d", n+1), func(t *testing.T) {
			t.Parallel()
			o := kernel
			o.Image, o.CPUs = copyOf(t, disk, 0), n+1
			written := int64(0)
			for i := n; i < count; i += machines {
				// Both machines come to every way, and start with different ones.
				way := ways()[i*3%len(ways())]
				t.Run(fmt.Sprintf("%d, %s", i+1, way.name), func(t *testing.T) {
					written = shutDown(t, o, way, written)
					cleanState(t, o.Image, i%fullCheckEvery == 0 || i+machines >= count)
				})
			}
			t.Logf("%d files written and flushed", written)
		})
	}
}

// withoutFirmware starts an image's kernel at once: what is under test comes
// after, and firmware and boot loader are a third of a boot.
func withoutFirmware(t *testing.T, disk string) qemu.Options {
	t.Helper()
	e := onlyEntry(t, disk)
	sections, err := uki.Parse(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := qemu.Options{Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd"), Cmdline: e.Cmdline}
	for path, data := range map[string][]byte{o.Kernel: sections.Linux, o.Initrd: sections.Initrd} {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// shutDown boots a machine, checks what the last one has left, and brings it down
// under write load. It returns the number of the last write before.
func shutDown(t *testing.T, o qemu.Options, way way, before int64) (written int64) {
	t.Helper()
	const dir = "/var/lib/ketch/load"
	m := boot(t, o)
	written = number(t, m.shell("mkdir -p "+dir+"; load check "+dir), nil)
	if before > 0 && written <= before {
		t.Errorf("the last write is number %d, was %d at the last boot", written, before)
	}
	for _, sign := range []string{"state partition checked", "recovery complete", "orphan"} {
		if strings.Contains(m.Console.String(), sign) {
			t.Errorf("the file system was not clean at this boot: %q", sign)
		}
	}
	m.shell("load " + dir)
	time.Sleep(time.Second)
	if err := way.do(m); err != nil {
		t.Fatal(err)
	}
	m.ends(shutdownLimit)
	m.waitLine(layout.ConsolePrefix + layout.SayDown + way.say)
	return written
}

// cleanState checks that the state partition of a disk was unmounted, and, in
// full, that nothing in it is amiss.
func cleanState(t *testing.T, disk string, full bool) {
	t.Helper()
	fs := stateOn(t, disk)
	out, err := exec.Command(oracle.Tool(t, "dumpe2fs"), "-h", fs).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Filesystem state:         clean\n") || strings.Contains(string(out), "needs_recovery") {
		t.Errorf("dumpe2fs: the state partition is not clean: %v\n%s", err, out)
	}
	if !full {
		return
	}
	if out, err := exec.Command(oracle.Tool(t, "e2fsck"), "-f", "-n", fs).CombinedOutput(); err != nil {
		t.Errorf("e2fsck -f -n: %v\n%s", err, out)
	}
}

// stateOn names the state partition of a disk as e2fsprogs do.
func stateOn(t *testing.T, disk string) string {
	t.Helper()
	table, _ := readTable(t, disk)
	path, err := filepath.Abs(disk)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s?offset=%d", path, table.Partitions[layout.NumState-1].Offset(table.SectorSize))
}
