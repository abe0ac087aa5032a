package step

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/machine/machinetest"
)

func TestRun(t *testing.T) {
	m := machine.New()
	var ran []string
	ok := func(name string) Step {
		return Step{Name: name, Do: func() error { ran = append(ran, name); return nil }}
	}
	broken := Step{Name: "verity", Do: func() error { return errors.New("no superblock") }}
	err := RunFeeding(m, "initramfs", []Step{ok("a"), broken, ok("b")})
	if err == nil || err.Error() != "verity: no superblock" {
		t.Errorf("Run = %v; want verity: no superblock", err)
	}
	EachFeeding(m, "down", []Step{ok("c"), broken, ok("d")})
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
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hangs := func() error { <-release; return nil }
		for name, run := range map[string]func(*machine.Machine, string, []Step) error{"Run": Run, "RunFeeding": RunFeeding} {
			began := time.Now()
			err := run(machine.New(), "down", []Step{{Name: "sync", Limit: time.Minute, Do: hangs}})
			if took := time.Since(began); err == nil || err.Error() != "sync: not done within 1m0s" || took != time.Minute {
				t.Errorf("%s of a step that hangs = %v after %v; want it cut off", name, err, took)
			}
		}
		if err := Within(machine.New(), time.Minute, hangs); err == nil || err.Error() != "not done within 1m0s" {
			t.Errorf("Within of what hangs = %v; want it cut off", err)
		}
		if err := Within(machine.New(), 0, func() error { return errors.New("own") }); err == nil || err.Error() != "own" {
			t.Errorf("Within = %v; want the function's own error", err)
		}
	})
}

// TestFeeding: the names say what feeds the watchdog.
func TestFeeding(t *testing.T) {
	for name, test := range map[string]struct {
		run  func(*machine.Machine, []Step)
		want int64
	}{
		"RunFeeding":  {func(m *machine.Machine, s []Step) { RunFeeding(m, "x", s) }, 5},
		"EachFeeding": {func(m *machine.Machine, s []Step) { EachFeeding(m, "x", s) }, 5},
		"Run":         {func(m *machine.Machine, s []Step) { Run(m, "x", s) }, 0},
		"Within":      {func(m *machine.Machine, s []Step) { Within(m, s[0].Limit, s[0].Do) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := machine.New()
				fed := machinetest.Watch(t, m)
				test.run(m, []Step{{Name: "slow", Limit: time.Minute, Do: func() error {
					time.Sleep(4*machine.FeedEvery + time.Second)
					return nil
				}}})
				if got := fed(); got != test.want {
					t.Errorf("%s fed the watchdog %d times; want %d", name, got, test.want)
				}
			})
		})
	}
}
