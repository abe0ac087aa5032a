package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// A machine's disk, as far as ketch verify looks at it, with the tools of others:
// mtools renames, and the partition table is written as PID 1 writes it.
type testDisk struct {
	*testing.T
	path string
}

// copyDisk copies a sparse disk.
func copyDisk(t *testing.T, from string) testDisk {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if out, err := exec.Command("cp", "--sparse=always", from, path).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return testDisk{t, path}
}

// mtools runs one of the mtools on the ESP.
func (m testDisk) mtools(name string, args ...string) {
	m.Helper()
	cmd := exec.Command(testkit.Tool(m, name), append([]string{"-i", fmt.Sprintf("%s@@%d", m.path, layout.Alignment)}, args...)...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// put writes a file onto the ESP.
func (m testDisk) put(name, content string) {
	m.Helper()
	file := filepath.Join(m.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		m.Fatal(err)
	}
	m.mtools("mcopy", "-o", file, "::/"+name)
}

// write puts bytes at an offset of a partition.
func (m testDisk) write(partition int, offset int64, content string) {
	m.Helper()
	m.open(func(f *os.File, table *gpt.Table) error {
		_, err := f.WriteAt([]byte(content), table.Partitions[partition-1].Offset(table.SectorSize)+offset)
		return err
	})
}

func (m testDisk) open(do func(*os.File, *gpt.Table) error) {
	m.Helper()
	f, err := os.OpenFile(m.path, os.O_RDWR, 0)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		m.Fatal(err)
	}
	table, err := gpt.Read(f, size)
	if err == nil {
		err = do(f, table)
	}
	if err != nil {
		m.Fatal(err)
	}
}

// table changes the partition table in both copies.
func (m testDisk) table(change func(*gpt.Table)) {
	m.Helper()
	m.open(func(f *os.File, table *gpt.Table) error {
		change(table)
		return table.Write(f)
	})
}

const (
	random1 = "0b2a9f54-6c1e-4d3a-9e0b-7f2c5a1d8e63"
	random2 = "5d0c7e12-aa34-4b56-8c78-9d0e1f2a3b4c"
	random3 = "c1f0a3b2-9d8e-4c7b-a6f5-e4d3c2b1a090"
)

// boot does what a first boot does to the disk, which has grown to a size before.
func (m testDisk) boot(size int64) {
	m.Helper()
	if err := os.Truncate(m.path, size); err != nil {
		m.Fatal(err)
	}
	m.open(func(f *os.File, table *gpt.Table) error {
		p := &table.Partitions[layout.NumBoot-1]
		r := &bootrecord.Record{}
		v := r.Count(verity.RootHash{1}, "1.0", "ketch_1.0")
		r.Good(v, time.Unix(1e9, 0))
		return r.Write(medium{io.NewOffsetWriter(f, p.Offset(table.SectorSize))})
	})
	m.table(func(table *gpt.Table) {
		if err := table.Resize(uint64(size / table.SectorSize)); err != nil {
			m.Fatal(err)
		}
		p := &table.Partitions[layout.NumState-1]
		p.Last = uint64((size-layout.Alignment)/table.SectorSize) - 1
		p.Attributes, p.ID, table.DiskID = layout.AttrStateFormatted, gpt.MustParseGUID(random1), gpt.MustParseGUID(random2)
		table.Partitions[layout.NumESP-1].ID = gpt.MustParseGUID(random3)
	})
	m.write(layout.NumState, 1024, "not really ext4")
	m.mtools("mren", "::/EFI/Linux/ketch_1.0+3-0.efi", "ketch_1.0+2-1.efi")
	m.mtools("mren", "::/EFI/Linux/ketch_1.0+2-1.efi", "ketch_1.0.efi")
}

type medium struct{ io.WriterAt }

func (medium) Sync() error { return nil }

// verification is one of the two that a disk has.
type verification func(*image.Disk, ...*x509.Certificate) ([]image.Check, error)

// checksOf opens a disk and verifies it.
func checksOf(path string, verify verification, certificate *x509.Certificate) ([]image.Check, error) {
	d, err := image.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return verify(d, certificate)
}

// report is what ketch verify prints, a line a check.
func (m testDisk) report(do verification, certificate *x509.Certificate) string {
	m.Helper()
	checks, err := checksOf(m.path, do, certificate)
	if err != nil {
		return "bad  " + err.Error()
	}
	var lines []string
	for _, c := range checks {
		if (c.Err != nil) != (c.Error != "") || c.LeftOut != "" && (c.Detail != "" || c.Err != nil) {
			m.Errorf("a check that is more than one thing: %+v", c)
		}
		lines = append(lines, c.Line())
	}
	return strings.Join(lines, "\n")
}

// faults are the lines of a report that tell of a fault.
func faults(report string) string {
	return strings.Join(regexp.MustCompile(`(?m)^bad.*`).FindAllString(report, -1), "\n")
}

// TestVerifyMachineDisk holds a machine's disk against what a machine changes: it
// is whole, and every other change, wherever it is, is found and named.
func TestVerifyMachineDisk(t *testing.T) {
	from, certificate := smallImage(t)
	booted := copyDisk(t, from)
	size := layout.GiB * int64(5)
	booted.boot(size)
	report := booted.report((*image.Disk).Verify, certificate)
	if faults(report) != "" {
		t.Fatalf("a disk that was only booted:\n%s", report)
	}
	for _, want := range []string{
		"partition 8 (ketch_state): left out", "what the boot record says: left out", "GUIDs of the disk and of partitions 1 and 8: left out", "ESP directories: left out",
		"ok   every other byte: ", "ok   ESP files: ", "ok   partitions: ",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("a disk that was only booted: nothing says %q:\n%s", want, report)
		}
	}
	if got := faults(booted.report((*image.Disk).VerifyWritten, certificate)); !strings.Contains(got, "a machine has booted from it") {
		t.Errorf("held against an image that was just written: %q", got)
	}
	id := func(text string) gpt.GUID { return gpt.MustParseGUID(text) }
	for name, test := range map[string]struct {
		change func(testDisk)
		want   string
	}{
		"loader.conf":    {func(m testDisk) { m.put("loader/loader.conf", "default x\neditor yes\n") }, "ESP loader/loader.conf: SHA-256"},
		"no loader.conf": {func(m testDisk) { m.mtools("mdel", "::/loader/loader.conf") }, "ESP loader/loader.conf: is missing"},
		"boot entry": {func(m testDisk) {
			m.mtools("mmd", "::/loader/entries")
			m.put("loader/entries/x.conf", "linux /x\n")
		}, "ESP directory loader/entries"},
		"empty directory":     {func(m testDisk) { m.mtools("mmd", "::/loader/entries") }, "ESP directory loader/entries"},
		"EFI driver":          {func(m testDisk) { m.mtools("mmd", "::/EFI/systemd/drivers") }, "ESP directory EFI/systemd/drivers"},
		"file in the root":    {func(m testDisk) { m.put("startup.nsh", "reset\n") }, "ESP startup.nsh: belongs to no version"},
		"file beside entries": {func(m testDisk) { m.put("EFI/Linux/x.conf", "x") }, "ESP EFI/Linux/x.conf: belongs to no version"},
		"too many tries":      {func(m testDisk) { m.mtools("mren", "::/EFI/Linux/ketch_1.0.efi", "ketch_1.0+9-0.efi") }, "9 tries left and 0 used"},
		"another's name":      {func(m testDisk) { m.mtools("mren", "::/EFI/Linux/ketch_1.0.efi", "ketch_2.0.efi") }, "is the entry of version 1.0"},
		"ESP slack":           {func(m testDisk) { m.write(layout.NumESP, 400<<20, "EVIL") }, "ESP"},
		"BIOS partition":      {func(m testDisk) { m.write(layout.NumBIOS, 0, "EVIL") }, "partition 2 (BIOS), block 0"},
		"behind usr":          {func(m testDisk) { m.write(layout.NumUsrA, 512<<20, "EVIL") }, "partition 3 (ketch_1.0), block 131072"},
		"behind the hashes":   {func(m testDisk) { m.write(layout.NumVerityA, 8<<20, "EVIL") }, "partition 4 (ketch_1.0_verity), block 2048"},
		"slot B":              {func(m testDisk) { m.write(layout.NumUsrB, 4096, "EVIL") }, "partition 5 (_empty), block 1"},
		"hashes of slot B":    {func(m testDisk) { m.write(layout.NumVerityB, 0, "EVIL") }, "partition 6 (_empty), block 0"},
		"boot record":         {func(m testDisk) { m.write(layout.NumBoot, 8192, "EVIL") }, "partition 7 (ketch_boot)"},
		"boot code":           {func(m testDisk) { m.write(layout.NumESP, -layout.Alignment, "EVIL") }, "boot code"},
		"before the ESP":      {func(m testDisk) { m.write(layout.NumESP, -4096, "EVIL") }, "unused space"},
		"label":               {func(m testDisk) { m.table(func(t *gpt.Table) { t.Partitions[4].Name = "x" }) }, "partition 5 (x)"},
		"type":                {func(m testDisk) { m.table(func(t *gpt.Table) { t.Partitions[1].Type = id(layout.TypeESP) }) }, "partition 2 (BIOS)"},
		"attribute":           {func(m testDisk) { m.table(func(t *gpt.Table) { t.Partitions[0].Attributes = 4 }) }, "partition 1 (ESP)"},
		"state attribute":     {func(m testDisk) { m.table(func(t *gpt.Table) { t.Partitions[7].Attributes |= 1 }) }, "partition 8 (ketch_state): attributes"},
		"UUID":                {func(m testDisk) { m.table(func(t *gpt.Table) { t.Partitions[5].ID = id(random2[:35] + "0") }) }, "partition 6"},
		"state UUID": {func(m testDisk) {
			m.table(func(t *gpt.Table) { t.Partitions[7].ID = id("0b2a9f54-6c1e-1d3a-9e0b-7f2c5a1d8e63") })
		}, "neither the image's nor random"},
		"ESP UUID": {func(m testDisk) {
			m.table(func(t *gpt.Table) { t.Partitions[0].ID = id("c1f0a3b2-9d8e-8c7b-a6f5-e4d3c2b1a090") })
		}, "neither the image's nor random"},
		"state too short": {func(m testDisk) { m.table(func(t *gpt.Table) { t.Partitions[7].Last -= 2048 }) }, "partition 8 (ketch_state): ends at block"},
		"another partition": {func(m testDisk) {
			m.table(func(t *gpt.Table) {
				p := &t.Partitions[7]
				extra := gpt.Partition{Type: id(layout.TypeState), ID: id(random2[:35] + "1"), First: p.Last - 2047, Last: p.Last}
				p.Last -= 2048
				t.Partitions = append(t.Partitions, extra)
			})
		}, "9 partitions; want 8"},
	} {
		t.Run(name, func(t *testing.T) {
			m := copyDisk(t, booted.path)
			test.change(m)
			report := m.report((*image.Disk).Verify, certificate)
			if got := faults(report); !strings.Contains(got, test.want) {
				t.Errorf("%s; want a fault with %q", report, test.want)
			}
		})
	}
}

// TestVerifyOneBit sets the bit that says that a machine has booted, and nothing
// else that a boot does.
func TestVerifyOneBit(t *testing.T) {
	from, certificate := smallImage(t)
	m := copyDisk(t, from)
	m.table(func(table *gpt.Table) { table.Partitions[layout.NumState-1].Attributes = layout.AttrStateFormatted })
	if got := faults(m.report((*image.Disk).Verify, certificate)); !strings.Contains(got, "no machine leaves that") {
		t.Errorf("ketch verify: %q", got)
	}
}

// TestVerifyWritten looks at an image on a disk that is larger, and was not empty before.
func TestVerifyWritten(t *testing.T) {
	from, certificate := smallImage(t)
	m := copyDisk(t, from)
	info, err := os.Stat(m.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(m.path, 6*layout.GiB); err != nil {
		t.Fatal(err)
	}
	m.open(func(f *os.File, _ *gpt.Table) error {
		_, err := f.WriteAt([]byte("what was there before"), info.Size()+layout.MiB)
		return err
	})
	for name, do := range map[string]verification{"verify": (*image.Disk).Verify, "verify --written": (*image.Disk).VerifyWritten} {
		report := m.report(do, certificate)
		for _, want := range []string{"ok   every byte: ", fmt.Sprintf("--   disk behind its partition table: left out: %d bytes", 6*layout.GiB-info.Size())} {
			if faults(report) != "" || !strings.Contains(report, want) {
				t.Errorf("ketch %s says no %q:\n%s", name, want, report)
			}
		}
	}
	m.write(layout.NumState, 0, "x")
	if got := faults(m.report((*image.Disk).VerifyWritten, certificate)); !strings.Contains(got, "partition 8 (ketch_state), block 0") {
		t.Errorf("a byte in the state partition of a written disk: %q", got)
	}
}

// TestVerifySaysWhatItLeftOut finds a fault early: what is then not compared is not called ok.
func TestVerifySaysWhatItLeftOut(t *testing.T) {
	from, certificate := smallImage(t)
	m := copyDisk(t, from)
	m.write(layout.NumUsrA, 8192, "EVIL")
	report := m.report((*image.Disk).Verify, certificate)
	if !strings.Contains(report, "bad  slot of ketch_1.0") || !strings.Contains(report, "--   every other byte: left out") {
		t.Errorf("ketch verify:\n%s", report)
	}
}
