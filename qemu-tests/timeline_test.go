package qemutests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/qemu"
)

// TestTimeline: ketchctl boot shows every stage, for people and for programs. In a
// virtual machine the boot loader tells no times, and the chart says so.
func TestTimeline(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	got := m.shell("ketchctl boot")
	for _, want := range []string{
		"firmware  not told by the boot loader: it keeps no time in a virtual machine",
		"kernel ", "initramfs verity", "system    state", "service   containerd", "service   ketchd", "gate      health gate", "runtime-ready after", "█",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("ketchctl boot says nothing of %q:\n%s", want, got)
		}
	}
	if got := m.shell("LANG=C ketchctl boot"); strings.Contains(got, "█") || !strings.Contains(got, "#") {
		t.Errorf("ketchctl boot on a terminal without UTF-8:\n%s", got)
	}
	var boot pid1.Boot
	if err := json.Unmarshal([]byte(m.shell("ketchctl boot --json")), &boot); err != nil || boot.GoodUsec <= boot.ReadyUsec || boot.ReadyUsec <= boot.PID1Usec {
		t.Errorf("ketchctl boot --json: %v, %+v", err, boot)
	}
}

// TestLoaderTimes: a processor that does not say it is virtual makes the boot
// loader keep its times, as on a computer.
func TestLoaderTimes(t *testing.T) {
	t.Parallel()
	m := boot(t, qemu.Options{Image: newDisk(t), Extra: []string{"-cpu", "max,la57=off,pku=off,erms=off,hypervisor=off"}})
	var boot pid1.Boot
	if err := json.Unmarshal([]byte(m.shell("ketchctl boot --json")), &boot); err != nil || boot.FirmwareUsec <= 0 || boot.LoaderUsec <= 0 {
		t.Errorf("ketchctl boot --json: %v; firmware %d µs, loader %d µs; want both", err, boot.FirmwareUsec, boot.LoaderUsec)
	}
	if got := m.shell("ketchctl boot"); strings.Contains(got, "not told") || !strings.Contains(got, "\nloader ") {
		t.Errorf("ketchctl boot:\n%s", got)
	}
}
