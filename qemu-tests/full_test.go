package qemutests

import (
	"strings"
	"testing"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/layout"
)

// TestFullDisk: /var was made by an earlier version, without quotas and a reserve. End
// of that: the next boot adds both. Then every block and every inode of it is taken,
// the machine's reserve included, on a machine with an essential workload. End: the
// next boot is good, and degraded, and says why.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	changed := insiderWorkload(t).with(files{"usr/bin/filler": compile(t, "filler")})
	const compose = "usr/share/ketch/etc/ketch/compose/insider.yaml"
	changed[compose] = append(changed[compose], "    labels: {org.ketch.essential: 'true'}\n"...) // of the last service
	disk := copyOf(t, buildVersion(t, "", changed), 0)
	o := direct(t, disk)
	boot(t, o).powerOff()
	runTool(t, "tune2fs", "-O", "^quota,^project", "-m", "0", stateOn(t, disk))

	m := boot(t, o)
	if log := m.shell("dmesg | grep 'state partition' || true"); !strings.Contains(log, "it has project quotas and a reserve now") {
		t.Errorf("the kernel's log says %q; want quotas and a reserve in it", log)
	}
	if problems := m.status().Problems; len(problems) > 0 {
		t.Errorf("the status of a machine whose /var has been equipped: %q", problems)
	}
	t.Logf("filled with %s", m.shell("mkdir /var/fill; filler /var/fill"))
	m.powerOff()

	m = boot(t, o)
	problems := strings.Join(m.status().Problems, "\n")
	for _, want := range []string{"/var is full to", "of all inodes are in use"} {
		if !strings.Contains(problems, want) {
			t.Errorf("the status of a full machine: %q; want %q in it", problems, want)
		}
	}
	m.powerOff()
	cleanState(t, disk)
}

// TestCrashLoop: two boots in a row have come to no orderly end, and a third is cut
// off. End: the next holds back what is not essential, says so, and lets it start in
// the end.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	m, disk := goOn(t, nil)
	m.shell("sed -i 's/\"count\":0/\"count\":2/' " + layout.Streak + " && grep -q '\"count\":2' " + layout.Streak + " && sync")
	m.Stop()

	m = boot(t, direct(t, disk))
	if end := m.previous().End; end != pid1.EndCut {
		t.Errorf("the boot before ended %s; want %s", end, pid1.EndCut)
	}
	if s := m.status(); !strings.Contains(strings.Join(s.Problems, "\n"), "the last 3 boots came to no orderly end") {
		t.Errorf("the status says %q; want it to tell of the boots", s.Problems)
	}
	if console := m.Console.String(); strings.Contains(console, "workload demo-hello: running") {
		t.Error("the workload was not held back")
	}
	m.waitLine("ketchd: workload demo-hello: running")
	m.powerOff()
}
