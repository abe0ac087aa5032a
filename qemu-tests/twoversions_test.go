package qemutests

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// fallbackLimit is how long a machine may take to end on its last good version:
// five starts, of which a watchdog ends three after a minute each. It leaves
// room for emulation on busy cores, as bootLimit does for one start.
const fallbackLimit = 5*bootLimit + 3*time.Minute

// twoVersions is a machine's disk as an update leaves it: the version under test
// in slot A, good, and a newer one in slot B, on trial.
type twoVersions struct {
	t        *testing.T
	disk     string
	vm       string // directory of the machine's firmware variables
	old, new image.Entry
	// esp are the files of the ESP; what a test does to them before the first
	// boot is written.
	esp    map[string][]byte
	filler int64 // bytes of one more file, of zeros
	// record is the boot record, likewise.
	record *bootrecord.Record
}

// newTwoVersions builds the newer version with changed files on top of its layers.
func newTwoVersions(t *testing.T, changed files) *twoVersions {
	t.Helper()
	v := &twoVersions{t: t, disk: newDisk(t), vm: t.TempDir(), esp: map[string][]byte{}, record: &bootrecord.Record{}}
	v.old = v.readESP()
	newer := buildVersion(t, v.old.Version+".1", changed)
	v.new = onlyEntry(t, newer)
	v.fillSlot(newer)
	v.addEntry(v.old, v.old.Name.Good())
	v.addEntry(v.new, v.new.Name)
	v.wasGood(v.old)
	return v
}

// buildVersion builds the image under test with changed files on top of its
// layers, as another version if one is named.
func buildVersion(t testing.TB, version string, changed files) (built string) {
	t.Helper()
	return buildChanged(t, changed, func(d *image.Definition) { d.Version = cmp.Or(version, d.Version) })
}

// buildChanged builds the image under test with changed files on top of its
// layers, by a changed definition.
func buildChanged(t testing.TB, changed files, change func(*image.Definition)) (built string) {
	t.Helper()
	definition, err := image.LoadDefinition(definitionPath())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	change(definition)
	definition.Cmdline = append(definition.Cmdline, "panic=1") // nobody reads the screen
	if len(changed) > 0 {
		writeLayer(t, filepath.Join(dir, "layer"), changed)
		definition.Images = append(definition.Images, image.ImageRef{Ref: "oci:" + filepath.Join(dir, "layer")})
	}
	set, err := keys.Load(keysDir)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := oci.OpenCache(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	built = filepath.Join(dir, "built.raw")
	_, err = image.Build(context.Background(), image.Options{
		Definition: definition, Output: built, Keys: set,
		Source: image.Source{Client: &oci.Client{Lock: &oci.Lock{}}, Cache: cache},
	})
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func openDisk(t testing.TB, name string) *image.Disk {
	t.Helper()
	d, err := image.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// onlyEntry is the boot entry of a fresh image.
func onlyEntry(t testing.TB, name string) image.Entry {
	t.Helper()
	entries, err := openDisk(t, name).Entries()
	if err != nil || len(entries) != 1 {
		t.Fatalf("boot entries of %s: %d, %v; want one", name, len(entries), err)
	}
	return entries[0]
}

// readESP reads the files of the ESP but for the boot entry, which it returns.
func (v *twoVersions) readESP() image.Entry {
	v.t.Helper()
	esp := openDisk(v.t, v.disk).ESP
	err := fs.WalkDir(esp, ".", func(name string, f fs.DirEntry, err error) error {
		if err != nil || f.IsDir() || path.Dir(name) == layout.ESPEntries {
			return err
		}
		v.esp[name], err = fs.ReadFile(esp, name)
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return onlyEntry(v.t, v.disk)
}

// fillSlot copies the usr and the hash tree of the newer version into slot B.
func (v *twoVersions) fillSlot(newer string) {
	v.t.Helper()
	slot, err := openDisk(v.t, newer).Slot(v.new.RootHash)
	if err != nil {
		v.t.Fatal(err)
	}
	table, f := readTable(v.t, v.disk)
	b := layout.Slots()[1]
	release.Place(table, b, v.new.Version, v.new.RootHash)
	for number, from := range map[int]*io.SectionReader{b.Usr: slot.Usr, b.Verity: slot.Hash} {
		if _, err := io.Copy(v.at(f, table, number), io.NewSectionReader(from, 0, min(from.Size(), 200*layout.MiB))); err != nil {
			v.t.Fatal(err)
		}
	}
	if err := table.Write(f); err != nil {
		v.t.Fatal(err)
	}
}

// at is where a partition of the disk starts.
func (v *twoVersions) at(f *os.File, table *gpt.Table, number int) *io.OffsetWriter {
	return io.NewOffsetWriter(f, table.Partitions[number-1].Offset(table.SectorSize))
}

// addEntry puts a boot entry on the ESP under a name.
func (v *twoVersions) addEntry(e image.Entry, name entry.Name) {
	v.esp[path.Join(layout.ESPEntries, name.File())] = e.Data
}

// entryPath is where the newer version's entry lies as long as it is on trial.
func (v *twoVersions) entryPath() string { return v.new.Path }

// wasGood notes in the boot record that a version was good once.
func (v *twoVersions) wasGood(e image.Entry) {
	v.record.Good(v.record.Count(e.RootHash, e.Version, e.Name.ID), time.Unix(1_800_000_000, 0))
}

// damageUsr changes one byte of the newer version's usr: reading it is a panic.
func (v *twoVersions) damageUsr() {
	x := tamper{t: v.t, path: v.disk}
	x.flip(layout.NumUsrB, 1024) // EROFS's superblock
}

// write writes ESP and boot record to the disk.
func (v *twoVersions) write() {
	v.t.Helper()
	table, f := readTable(v.t, v.disk)
	err := fat.Write(v.at(f, table, layout.NumESP), fat.Options{
		Size: layout.SizeESP, Label: layout.LabelESP, Time: time.Unix(1_800_000_000, 0), Files: v.list(),
	})
	if err == nil {
		err = v.record.Write(medium{v.at(f, table, layout.NumBoot), f})
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// list are the files of the ESP as package fat wants them.
func (v *twoVersions) list() (list []fat.File) {
	for name, data := range v.esp {
		list = append(list, fat.File{Path: name, Data: data})
	}
	if v.filler > 0 {
		zeros := func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(zero{}, 0, v.filler)), nil
		}
		list = append(list, fat.File{Path: "FILLER.BIN", Open: zeros, Size: v.filler})
	}
	return list
}

// zero reads as zeros without end.
type zero struct{}

func (zero) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// medium is a partition of a file.
type medium struct {
	*io.OffsetWriter
	file *os.File
}

func (m medium) Sync() error { return m.file.Sync() }

// boots starts the machine and returns it when a boot is good.
func (v *twoVersions) boots(o qemu.Options) *machine {
	v.t.Helper()
	m := v.starts(o)
	if _, err := m.Console.WaitLine(m.ctx, layout.ConsolePrefix+layout.SayGood); err != nil {
		v.t.Fatal(err)
	}
	return m
}

// starts starts the machine, which reboots as often as it wants.
func (v *twoVersions) starts(o qemu.Options) *machine {
	v.t.Helper()
	o.Image, o.Dir = v.disk, v.vm
	return launch(v.t, o, fallbackLimit, "") // it is here to fail: every sign is allowed
}

// system asks a machine what it has booted and why.
func (m *machine) system() *pid1.Status {
	m.t.Helper()
	var s node.Status
	if err := json.Unmarshal([]byte(m.shell("ketchctl status --json")), &s); err != nil {
		m.t.Fatal(err)
	}
	if s.System == nil || s.System.Record == nil {
		m.t.Fatalf("the status has no boot record: %+v", s)
	}
	return s.System
}

// endsOn boots the disk and expects that, in the end and without a person, a
// version is good; it returns the status then.
func (v *twoVersions) endsOn(want image.Entry, o qemu.Options) *pid1.Status {
	v.t.Helper()
	m := v.boots(o)
	s := m.system()
	if s.Version != want.Version {
		v.t.Errorf("the machine has ended on version %s; want %s", s.Version, want.Version)
	}
	m.powerOff()
	return s
}

// entries are the names of the boot entries on the disk now.
func (v *twoVersions) entries() (names []string) {
	v.t.Helper()
	files, err := fs.ReadDir(openDisk(v.t, v.disk).ESP, layout.ESPEntries)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, f := range files {
		if name, err := entry.Parse(f.Name()); err == nil {
			names = append(names, name.File())
		}
	}
	return names
}
