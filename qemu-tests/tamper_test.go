package qemutests

import (
	"bytes"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// tamper opens a fresh disk and its slot for changes.
type tamper struct {
	t    *testing.T
	path string
	disk *image.Disk
	slot *release.Slot
}

func newTamper(t *testing.T) *tamper {
	t.Helper()
	path := newDisk(t)
	d, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	entries, err := d.Entries()
	if err != nil || len(entries) != 1 {
		t.Fatalf("boot entries: %d, %v; want one", len(entries), err)
	}
	slot, err := d.Slot(entries[0].RootHash)
	if err != nil {
		t.Fatal(err)
	}
	return &tamper{t, path, d, slot}
}

// flip changes one byte of a partition.
func (x *tamper) flip(number int, at int64) {
	x.t.Helper()
	table, f := readTable(x.t, x.path)
	at += table.Partitions[number-1].Offset(table.SectorSize)
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		x.t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		x.t.Fatal(err)
	}
}

// find returns where bytes stand in a partition.
func (x *tamper) find(number int, what []byte) int64 {
	x.t.Helper()
	table, f := readTable(x.t, x.path)
	p := table.Partitions[number-1]
	start := p.Offset(table.SectorSize)
	// What we look for lies in the first 200 MiB of a partition.
	content := make([]byte, min(p.Size(table.SectorSize), 200*layout.MiB))
	if _, err := io.ReadFull(io.NewSectionReader(f, start, int64(len(content))), content); err != nil {
		x.t.Fatal(err)
	}
	at := bytes.Index(content, what)
	if at < 0 {
		x.t.Fatalf("partition %d does not hold %q", number, what[:min(len(what), 40)])
	}
	return int64(at)
}

// replaceCmdline replaces part of the command line in the UKI by as many bytes.
func (x *tamper) replaceCmdline(old, new string) {
	x.t.Helper()
	if len(old) != len(new) {
		x.t.Fatalf("%q and %q differ in length", old, new)
	}
	at := x.find(layout.NumESP, []byte(old))
	table, f := readTable(x.t, x.path)
	if _, err := f.WriteAt([]byte(new), at+table.Partitions[layout.NumESP-1].Offset(table.SectorSize)); err != nil {
		x.t.Fatal(err)
	}
}

// content is a file of usr.
func (x *tamper) content(name string) []byte {
	x.t.Helper()
	usr, err := x.slot.FS()
	if err != nil {
		x.t.Fatal(err)
	}
	data, err := fs.ReadFile(usr, name)
	if err != nil {
		x.t.Fatal(err)
	}
	return data
}

// refuses starts the machine, which must end in a reboot within the limit, by
// PID 1's word or by the kernel's, and never become ready.
func (x *tamper) refuses(o qemu.Options, limit time.Duration, sign string, allowed ...string) {
	x.t.Helper()
	m := start(x.t, o, append(allowed, sign)...)
	m.waitLine(sign)
	m.ends(limit)
	if console := m.Console.String(); bytes.Contains([]byte(console), []byte(layout.ConsolePrefix+layout.SayRuntimeReady)) {
		x.t.Error("the machine became ready all the same")
	}
}

const fatal = layout.ConsolePrefix + layout.SayFatal

// panicSigns come with a panic of the kernel's.
var panicSigns = []string{"Kernel panic", "Call Trace", "verity"}

func TestFlippedByteInUsr(t *testing.T) {
	t.Parallel()
	t.Run("superblock", func(t *testing.T) {
		t.Parallel()
		x := newTamper(t)
		x.flip(x.slot.UsrNumber, 1024)
		x.refuses(direct(x.t, x.path), panicLimit, "Kernel panic", panicSigns...)
	})
	t.Run("containerd", func(t *testing.T) {
		t.Parallel()
		x := newTamper(t)
		x.flip(x.slot.UsrNumber, x.find(x.slot.UsrNumber, x.content("bin/containerd")[:layout.BlockSize]))
		x.refuses(direct(x.t, x.path), panicLimit, "Kernel panic", panicSigns...)
	})
}

func TestFlippedByteInHashTree(t *testing.T) {
	t.Parallel()
	x := newTamper(t)
	x.flip(x.slot.VerityNumber, layout.BlockSize) // the top level
	x.refuses(direct(x.t, x.path), panicLimit, "Kernel panic", panicSigns...)
}

func TestFlippedByteInVeritySuperblock(t *testing.T) {
	t.Parallel()
	x := newTamper(t)
	x.flip(x.slot.VerityNumber, 88) // the salt
	x.refuses(direct(x.t, x.path), panicLimit, "Kernel panic", panicSigns...)
}

func TestWrongRootHash(t *testing.T) {
	t.Parallel()
	x := newTamper(t)
	at := x.find(layout.NumESP, []byte(layout.ParamUsrHash+"="))
	// In the middle of the digest: neither half names another partition by chance.
	x.flip(layout.NumESP, at+int64(len(layout.ParamUsrHash))+1+20)
	x.refuses(qemu.Options{Image: x.path}, missingLimit, fatal)
}

func TestSecondRootHash(t *testing.T) {
	t.Parallel()
	x := newTamper(t)
	x.replaceCmdline("lockdown=integrity", layout.ParamUsrHash+"=0000000000")
	x.refuses(qemu.Options{Image: x.path}, missingLimit, fatal)
}
