package bootcount

import (
	"os"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/machine"
)

// updating is a machine that runs version 2.0, with 1.0 in the other slot. The way
// back is 1.0 as long as 2.0 is not good.
func updating(t *testing.T, good bool) *machine.Machine {
	t.Helper()
	m := onDisk(t, one)
	if err := Good(m); err != nil {
		t.Fatal(err)
	}
	if _, err := update(m, func(r *bootrecord.Record) error { two.count(r); return nil }); err != nil {
		t.Fatal(err)
	}
	if good {
		if err := Good(m); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestRevoke(t *testing.T) {
	m := updating(t, true)
	if err := Revoke(m, one.root); err != nil {
		t.Fatal(err)
	}
	r := read(t, m)
	if v := r.Find(one.root); !v.Revoked || v.EverGood() || WayBack(r) != nil {
		t.Errorf("after Revoke: %+v, way back %v; want none", v, WayBack(r))
	}
	if got := Report(m).Versions[1]; !got.Revoked || !got.Failed || got.LastGood {
		t.Errorf("report = %+v; want it revoked", got)
	}
	if tries, failed := Failed(m, entry.Name{ID: "ketch_1.0"}); !failed || tries != 3 {
		t.Errorf("Failed = %d, %v; the boot loader is to be told", tries, failed)
	}
	generation := r.Generation
	if err := Revoke(m, root(9)); err != nil {
		t.Errorf("Revoke of a version that is not known = %v; want nothing to do", err)
	}
	if got := read(t, m); len(got.Versions) != 2 || got.Generation != generation+1 {
		t.Errorf("it has changed the record: %+v", got)
	}
}

func TestExpect(t *testing.T) {
	m := updating(t, true)
	three := start{root(3), "3.0", "ketch_3.0"}
	if err := Expect(m, three.version, three.root, 1); err != nil {
		t.Fatal(err)
	}
	r := read(t, m)
	if v := r.Versions[1]; v.RootHash != three.root || v.Entry != "ketch_3.0" || v.Tries != 1 || r.Versions[0].RootHash != two.root {
		t.Errorf("after Expect: %+v", r.Versions)
	}
	three.count(r)
	if to, pause := judge(r); to != nil || pause != 0 {
		t.Errorf("its only try: judge = %v, %v; want it started", to, pause)
	}
	three.count(r)
	if to, _ := judge(r); to == nil || to.Name != "2.0" {
		t.Errorf("after its only try: judge = %v; want 2.0", to)
	}
	// What was revoked and comes once more has its tries again.
	if err := Revoke(m, one.root); err != nil {
		t.Fatal(err)
	}
	if err := Expect(m, one.version, one.root, 9); err != nil {
		t.Fatal(err)
	}
	if v := read(t, m).Find(one.root); v.Revoked || v.EverGood() || v.Tries != 9 || v.Attempts != 0 {
		t.Errorf("expected once more: %+v", v)
	}
}

func TestOrdersRefused(t *testing.T) {
	good, trial := updating(t, true), updating(t, false)
	unread := updating(t, true)
	if err := os.Remove(unread.BootRecord); err != nil {
		t.Fatal(err)
	}
	emptied := updating(t, true)
	if err := os.WriteFile(emptied.BootRecord, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	expect := func(version string, root verity.RootHash, tries int) func(*machine.Machine) error {
		return func(m *machine.Machine) error { return Expect(m, version, root, tries) }
	}
	revoke := func(root verity.RootHash) func(*machine.Machine) error {
		return func(m *machine.Machine) error { return Revoke(m, root) }
	}
	for name, test := range map[string]struct {
		m    *machine.Machine
		do   func(*machine.Machine) error
		want string
	}{
		"revoke what runs":      {good, revoke(two.root), "version 2.0 is running"},
		"revoke the way back":   {trial, revoke(one.root), "version 1.0 is the one to go back to: the running one, 2.0, is not good yet"},
		"revoke, no record":     {machine.New(), revoke(one.root), "has no boot record"},
		"revoke, disk gone":     {unread, revoke(one.root), "no such file"},
		"revoke, record gone":   {emptied, revoke(one.root), "does not know the running version"},
		"expect what runs":      {good, expect("2.0", two.root, 3), "version 2.0 is running"},
		"expect no tries":       {good, expect("3.0", root(3), 0), "0 tries: want 1 to 9"},
		"expect too many tries": {good, expect("3.0", root(3), 10), "10 tries: want 1 to 9"},
		"expect no name":        {good, expect("", root(3), 3), "a version has a name"},
		"expect a long name":    {good, expect(strings.Repeat("1", 25), root(3), 3), "has 25 bytes: the boot record holds 24"},
		"expect no root hash":   {good, expect("3.0", verity.RootHash{}, 3), "a version has a root hash"},
		"expect, no record":     {machine.New(), expect("3.0", root(3), 3), "has no boot record"},
	} {
		if err := test.do(test.m); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", name, err, test.want)
		}
	}
	if v := read(t, trial).Find(one.root); v.Revoked {
		t.Error("a refused revocation has been written")
	}
}
