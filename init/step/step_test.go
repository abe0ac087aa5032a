package step

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/init/machine"
)

func TestRun(t *testing.T) {
	m := machine.New()
	var ran []string
	ok := func(name string) Step {
		return Step{Name: name, Do: func() error { ran = append(ran, name); return nil }}
	}
	broken := Step{Name: "verity", Do: func() error { return errors.New("no superblock") }}
	err := Run(m, "initramfs", []Step{ok("a"), broken, ok("b")})
	if err == nil || err.Error() != "verity: no superblock" {
		t.Errorf("Run = %v; want verity: no superblock", err)
	}
	Each(m, "down", []Step{ok("c"), broken, ok("d")})
	if diff := cmp.Diff([]string{"a", "c", "d"}, ran); diff != "" {
		t.Errorf("steps that ran (-want +got):\n%s", diff)
	}
	var line []string
	for _, s := range m.Timeline.Boot().Steps {
		line = append(line, s.Stage+" "+s.Name+" "+s.Error)
	}
	want := []string{"initramfs a ", "initramfs verity no superblock", "down c ", "down verity no superblock", "down d "}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
}

func TestLimit(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	err := Run(machine.New(), "down", []Step{{Name: "sync", Limit: time.Millisecond, Do: func() error { <-release; return nil }}})
	if err == nil || !strings.Contains(err.Error(), "sync: not done within 1ms") {
		t.Errorf("Run of a step that hangs = %v; want it cut off", err)
	}
	err = Bound(machine.New(), time.Millisecond, func() error { <-release; return nil })
	if err == nil || err.Error() != "not done within 1ms" {
		t.Errorf("Bound of what hangs = %v; want it cut off", err)
	}
	if err := Bound(machine.New(), 0, func() error { return errors.New("own") }); err == nil || err.Error() != "own" {
		t.Errorf("Bound = %v; want the function's own error", err)
	}
}
