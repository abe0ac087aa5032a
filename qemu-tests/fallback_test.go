package qemutests

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
)

// A new version that does not come up, for whatever reason, is tried three times;
// then the machine is back on the last good one, and nobody had to come.

// checkFailed holds the end of a fallback: the record of the newer version, and
// the names that make the boot loader agree with it.
func (v *twoVersions) checkFailed(s *pid1.Status, words string) {
	v.t.Helper()
	var found bool
	for _, r := range s.Record.Versions {
		if r.Version == v.new.Version {
			found = true
			if !r.Failed || r.Attempts != layout.Tries || !strings.Contains(r.Words, words) {
				v.t.Errorf("the record of the version that failed: %+v; want %d attempts, failed, %q", r, layout.Tries, words)
			}
		}
	}
	if !found {
		v.t.Errorf("the record knows nothing of version %s: %+v", v.new.Version, s.Record)
	}
	v.checkNames()
}

// checkNames wants the older entry good, and the newer one out of tries.
func (v *twoVersions) checkNames() {
	v.t.Helper()
	want := []string{v.new.Name.Failed(layout.Tries).File(), v.old.Name.Good().File()}
	slices.Sort(want)
	if got := v.entries(); !slices.Equal(got, want) {
		v.t.Errorf("boot entries: %q; want %q", got, want)
	}
}

func TestNewVersionPanics(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.damageUsr()
	v.write()
	s := v.endsOn(v.old, qemu.Options{})
	if want := "has none left"; !strings.Contains(s.Record.Why, want) {
		t.Errorf("booted because: %q; want %q", s.Record.Why, want)
	}
	v.checkFailed(s, "not heard of again")
}

// PID 1 of the new version, with a watchdog that it does not feed.
func TestNewVersionHangs(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, faultyBoot(t, pid1.StageSystem, "for { time.Sleep(time.Hour) }"))
	v.write()
	v.checkFailed(v.endsOn(v.old, qemu.Options{Watchdog: true}), "not heard of again")
}

// It ends before it can count: the boot loader counts alone.
func TestNewVersionsInitExits(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, faultyBoot(t, pid1.StageInitramfs, "os.Exit(0)"))
	v.write()
	v.endsOn(v.old, qemu.Options{})
	v.checkNames()
}

// PID 1 itself gives up: what it said is in the record.
func TestNewVersionGivesUp(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	table, f := readTable(t, v.disk)
	table.Partitions[layout.NumVerityB-1].ID[3] ^= 1
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	v.write()
	v.checkFailed(v.endsOn(v.old, qemu.Options{}), "slot: no disk has partitions")
}

// The boot loader cannot load it and returns to the firmware; the guard resets.
func TestNewVersionIsTruncated(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.esp[v.entryPath()] = v.new.Data[:len(v.new.Data)*2/3]
	v.write()
	m := v.boots(qemu.Options{})
	if s := m.system(); s.Version != v.old.Version {
		t.Errorf("the machine has ended on version %s; want %s", s.Version, v.old.Version)
	}
	if got := strings.Count(m.Console.String(), "resetting the machine"); got != layout.Tries {
		t.Errorf("the guard has reset the machine %d times; want %d", got, layout.Tries)
	}
	m.powerOff()
	v.checkNames()
}

// Nothing is left to start: the machine keeps trying, and says so, instead of
// waiting in the firmware's shell.
func TestBootLoaderIsMissing(t *testing.T) {
	t.Parallel()
	disk := newDisk(t)
	table, _ := readTable(t, disk)
	runTool(t, "mdel", "-i", volume(disk, table), "::/"+layout.AMD64.BootLoader)
	m := start(t, qemu.Options{Image: disk})
	m.waitLine("resetting the machine")
	m.ends(busyRoom)
}

// volume names the ESP of a disk to mtools.
func volume(disk string, table *gpt.Table) string {
	return fmt.Sprintf("%s@@%d", disk, table.Partitions[layout.NumESP-1].Offset(table.SectorSize))
}

// A version that was good and has lost its counter: only our record can tell
// that it fails now, and PID 1 asks for the other one.
func TestGoodVersionBreaks(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	delete(v.esp, v.entryPath())
	v.addEntry(v.new, v.new.Name.Good())
	v.wasGood(v.new)
	v.damageUsr()
	v.write()
	s := v.endsOn(v.old, qemu.Options{})
	if want := "after 3 failures in a row of version " + v.new.Version; !strings.Contains(s.Record.Why, want) {
		t.Errorf("booted because: %q; want %q", s.Record.Why, want)
	}
	v.checkFailed(s, "not heard of again")
	// From now on the boot loader takes the good one by itself.
	if s := v.endsOn(v.old, qemu.Options{}); !strings.Contains(s.Record.Why, "has none left") {
		t.Errorf("at the next start: booted because %q", s.Record.Why)
	}
}

// lockEntries keeps firmware from renaming the boot entries: EDK2 refuses to open
// a file for writing that has the read-only attribute, so systemd-boot cannot
// count. Linux renames it all the same.
func (v *twoVersions) lockEntries() {
	v.t.Helper()
	table, _ := readTable(v.t, v.disk)
	for name := range v.esp {
		if path.Dir(name) == layout.ESPEntries && strings.HasSuffix(name, ".efi") {
			runTool(v.t, "mattrib", "-i", volume(v.disk, table), "+r", "::/"+name)
		}
	}
}

func TestLoaderCannotCount(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.damageUsr()
	v.write()
	v.lockEntries()
	s := v.endsOn(v.old, qemu.Options{})
	if want := "after 3 failures in a row of version " + v.new.Version; !strings.Contains(s.Record.Why, want) {
		t.Errorf("booted because: %q; want %q", s.Record.Why, want)
	}
	v.checkFailed(s, "not heard of again")
}

// fillDirectory leaves no free entry in the directory of boot entries: a cluster
// of it has 128, two for itself and its parent, three for each boot entry with
// its long name.
func (v *twoVersions) fillDirectory() {
	for n := range 128 - 2 - 2*3 {
		v.esp[fmt.Sprintf("%s/F%03d.TXT", layout.ESPEntries, n)] = nil
	}
}

// fillESP leaves no free cluster.
func (v *twoVersions) fillESP() {
	v.t.Helper()
	v.filler = layout.SizeESP
	var full *fat.SpaceError
	err := fat.Write(nil, fat.Options{Size: layout.SizeESP, Files: v.list()}) // fails before it writes
	if !errors.As(err, &full) {
		v.t.Fatalf("fill the ESP: %v", err)
	}
	v.filler -= full.Missing
}

// An ESP on which nothing can be changed any more, neither by the boot loader
// nor by Linux: PID 1 has only its own record and the variable.
func TestNobodyCanChangeTheESP(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.fillDirectory()
	v.fillESP()
	v.damageUsr()
	v.write()
	v.lockEntries()
	before := v.entries()
	s := v.endsOn(v.old, qemu.Options{})
	if len(s.Degraded) == 0 {
		t.Error("the machine does not say that its ESP cannot be changed")
	}
	// The good version has asked for itself: its next start is not another failure.
	if s := v.endsOn(v.old, qemu.Options{}); !strings.Contains(s.Record.Why, "by this version itself") {
		t.Errorf("at the next start: booted because %q", s.Record.Why)
	}
	if got := v.entries(); !slices.Equal(got, before) {
		t.Errorf("boot entries: %q, were %q", got, before)
	}
}

// Neither does such an ESP cost a new version its place that is good: its counter
// stays, and it asks for itself.
func TestGoodStaysWhenNobodyCanChangeTheESP(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.fillDirectory()
	v.fillESP()
	v.write()
	v.lockEntries()
	v.endsOn(v.new, qemu.Options{})
	s := v.endsOn(v.new, qemu.Options{})
	if r := s.Record.Versions[0]; r.Goods != 2 || r.Attempts != 0 || !strings.Contains(s.Record.Why, "by this version itself") {
		t.Errorf("booted because %q; the record says %+v", s.Record.Why, r)
	}
}

// On a full ESP a version that fails loses its tries as it does on any other.
func TestNewVersionPanicsOnAFullESP(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.fillESP()
	v.damageUsr()
	v.write()
	v.checkFailed(v.endsOn(v.old, qemu.Options{}), "not heard of again")
}

// Where the directory cannot grow either, EDK2 loses a file that it renames. It
// renames none that is good.
func TestFullDirectoryKeepsTheLastGood(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.fillDirectory()
	v.fillESP()
	v.write()
	v.endsOn(v.old, qemu.Options{})
}

// The only version there is fails: it is tried for ever, ever more slowly.
func TestNoOtherVersion(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	delete(v.esp, path.Join(layout.ESPEntries, entry.Name{ID: v.old.Name.ID}.File()))
	for range layout.Tries { // it has been for a while
		v.record.Count(v.new.RootHash, v.new.Version, v.new.Name.ID)
	}
	v.damageUsr()
	v.write()
	m := v.starts(qemu.Options{})
	for _, pause := range []string{"10s", "20s"} {
		m.waitLine("waiting for " + pause)
	}
}

// TestUpdateAsksPID1: what an update asks of PID 1 is on the disk, and decides what
// becomes of a version that fails: nothing leads back to one that was revoked.
func TestUpdateAsksPID1(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, files{"usr/bin/asker": guestProgram(t, "./asker")})
	v.write()
	m := v.boots(qemu.Options{})
	if s := m.system(); s.Slot != "B" || s.RootHash != v.new.RootHash.String() || !s.Good {
		t.Errorf("slot %q runs root hash %s, good %v; want B, %s, good", s.Slot, s.RootHash, s.Good, v.new.RootHash)
	}
	third := verity.RootHash{0: 3}
	got := m.shell(fmt.Sprintf(`asker '{"do":"revoke","rootHash":"%s"}' '{"do":"revoke","rootHash":"%s"}' '{"do":"expect","version":"9.0","rootHash":"%s","tries":1}'`,
		v.new.RootHash, v.old.RootHash, third))
	answers := strings.Split(strings.TrimSpace(got), "\n")
	if len(answers) != 3 || !strings.Contains(answers[0], "is running") || !strings.Contains(answers[1], `"revoked":true`) || !strings.Contains(answers[2], `"tries":1`) {
		t.Errorf("PID 1 answers\n%s", got)
	}
	m.powerOff()
	r, err := openDisk(t, v.disk).BootRecord()
	if err != nil {
		t.Fatal(err)
	}
	if old, next := r.Find(v.old.RootHash), r.Find(third); old == nil || !old.Revoked || next == nil || next.Tries != 1 || r.Versions[0].RootHash != v.new.RootHash {
		t.Errorf("the boot record on the disk: %+v", r)
	}
	v.damageUsr()
	m = v.starts(qemu.Options{})
	m.waitLine("there is no other to go to: waiting for 10s")
}

// An older version that is signed is put back by hand, and the newer one taken away.
// It boots: nothing on the machine that could forbid it is out of reach of who can
// do that. The status tells.
func TestOlderVersionPutBack(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, nil)
	v.wasGood(v.new)
	v.record.Floor = v.new.Version
	delete(v.esp, v.entryPath())
	v.write()
	s := v.endsOn(v.old, qemu.Options{})
	if want := "the only one; it is older than version " + v.new.Version; !strings.Contains(s.Record.Why, want) {
		t.Errorf("booted because: %q; want %q", s.Record.Why, want)
	}
	if s.Record.Floor != v.new.Version {
		t.Errorf("the floor is %q; want it kept", s.Record.Floor)
	}
}

// TestAddedEntryBoots: an entry that an update has written is one for the firmware and
// the boot loader: it boots, and loses its counter. Those that were removed are gone,
// the one that runs included.
func TestAddedEntryBoots(t *testing.T) {
	t.Parallel()
	v := newTwoVersions(t, files{"usr/bin/espedit": guestProgram(t, "./espedit"), "usr/share/added.efi": onlyEntry(t, imagePath(t)).Data})
	v.write()
	m := v.boots(qemu.Options{})
	if s := m.system(); s.Version != v.new.Version {
		t.Fatalf("the machine runs version %s; want %s", s.Version, v.new.Version)
	}
	added := entry.Name{ID: "ketch_9.0", Counted: true, Left: 1}
	m.shell("espedit add vda " + added.File() + " /usr/share/added.efi && espedit remove vda " + v.old.Name.ID + " && espedit remove vda " + v.new.Name.ID)
	m.powerOff()
	s := v.endsOn(v.old, qemu.Options{}) // what was added leads to its slot
	if s.Entry != added.File() || s.Slot != "A" {
		t.Errorf("the machine has booted %s from slot %s; want %s, A", s.Entry, s.Slot, added.File())
	}
	if got, want := v.entries(), []string{added.Good().File()}; !slices.Equal(got, want) {
		t.Errorf("boot entries: %q; want %q", got, want)
	}
}
