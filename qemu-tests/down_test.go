package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

const (
	// shutdowns is how many TestShutdowns does, and of these a sample that has each way
	// twice.
	shutdowns, shutdownsSampled = 50, 10
	// fromOneBoot is how many of them go on from the same boot: each way four times,
	// and one more, so that another way is the last each time.
	fromOneBoot = 21
	// shutdownLimit is for one way down under write load, which takes two seconds
	// where there are processors to spare.
	shutdownLimit = bootLimit
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
// state partition. A machine that has booted and writes is saved, and brought
// down in every way there is, each time a little later; then one boots from what
// the last has left. Every time the file system is clean, and what was flushed is
// there.
func TestShutdowns(t *testing.T) {
	t.Parallel()
	program := compile(t, "load")
	check := filepath.Join(t.TempDir(), "load")
	if err := os.WriteFile(check, program, 0o777); err != nil {
		t.Fatal(err)
	}
	disk := buildFaulty(t, files{"usr/bin/load": program})
	count := series(shutdowns, shutdownsSampled)
	kernel := direct(t, disk)
	for first := 1; first <= count; first += fromOneBoot {
		cpus := 1 + first/fromOneBoot/2 // the third machine has two
		last := min(first+fromOneBoot-1, count)
		t.Run(fmt.Sprintf("%d to %d", first, last), func(t *testing.T) {
			t.Parallel()
			o := kernel
			o.Image, o.CPUs = copyOf(t, disk, 0), cpus
			l := loaded{t: t, check: check}
			s := l.boots(o)
			for i := first; i <= last; i++ {
				way := ways()[i%len(ways())]
				t.Run(fmt.Sprintf("%d, %s", i, way.name), func(t *testing.T) {
					l.t = t
					left := l.shutDown(s, way, time.Duration(i)*40*time.Millisecond)
					if err := os.Rename(left, o.Image+".left"); err != nil {
						t.Fatal(err)
					}
				})
			}
			// The next boot finds what the last one has left, of another way each time.
			l.t, o.Image = t, o.Image+".left"
			l.finds(boot(t, o))
		})
	}
}

// loaded is a machine that writes to its state partition.
type loaded struct {
	t       *testing.T
	check   string // the program "load", for the host
	saved   int64  // the number of a write that was flushed when it was saved
	written int64  // the number of the last write that was found
}

// loadDir is where a machine writes, and where that is in the file system.
const loadDir, loadPath = "/var/lib/ketch/load", "/lib/ketch/load"

// boots boots a machine, and saves it when it has begun to write.
func (l *loaded) boots(o qemu.Options) saved {
	l.t.Helper()
	m := boot(l.t, o)
	m.shell("mkdir " + loadDir)
	m.shell("load " + loadDir)
	for l.saved == 0 { // something must be flushed that can be lost
		l.saved = number(l.t, m.shell("load check "+loadDir), nil)
	}
	return m.save(o, l.t.TempDir())
}

// finds checks what a machine that has booted finds of the one before.
func (l *loaded) finds(m *machine) {
	l.t.Helper()
	l.checked(m.shell("load check "+loadDir), l.written)
	for _, sign := range []string{"state partition checked", "recovery complete", "orphan"} {
		if strings.Contains(m.Console.String(), sign) {
			l.t.Errorf("the file system was not clean at this boot: %q", sign)
		}
	}
}

// checked notes the number of the last write that "load check" has found, at
// least that of one known to be flushed.
func (l *loaded) checked(output string, flushed int64) {
	l.t.Helper()
	l.written = number(l.t, output, nil)
	if l.written < flushed {
		l.t.Errorf("the last write is number %d; number %d was flushed", l.written, flushed)
	}
}

// shutDown lets a saved machine write on for a while, brings it down, and checks
// the disk it leaves.
func (l *loaded) shutDown(s saved, way way, after time.Duration) (disk string) {
	l.t.Helper()
	m, disk := s.resume(l.t)
	time.Sleep(after)
	if err := way.do(m); err != nil {
		l.t.Fatal(err)
	}
	m.ends(shutdownLimit)
	m.waitLine(layout.ConsolePrefix + layout.SayDown + way.say)
	cleanState(l.t, disk)
	left := l.t.TempDir()
	runTool(l.t, "debugfs", "-R", "rdump "+loadPath+" "+left, stateOn(l.t, disk))
	out, err := exec.Command(l.check, "check", filepath.Join(left, filepath.Base(loadPath))).CombinedOutput()
	if err != nil {
		l.t.Fatalf("load check: %v\n%s", err, out)
	}
	l.checked(strings.TrimSpace(string(out)), l.saved)
	l.t.Logf("%d files written and flushed", l.written)
	return disk
}

// cleanState checks that the state partition of a disk was unmounted, and that
// nothing in it is amiss.
func cleanState(t *testing.T, disk string) {
	t.Helper()
	fs := stateOn(t, disk)
	out, err := exec.Command(testkit.Tool(t, "dumpe2fs"), "-h", fs).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Filesystem state:         clean\n") || strings.Contains(string(out), "needs_recovery") {
		t.Errorf("dumpe2fs: the state partition is not clean: %v\n%s", err, out)
	}
	if out, err := exec.Command(testkit.Tool(t, "e2fsck"), "-f", "-n", fs).CombinedOutput(); err != nil {
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
