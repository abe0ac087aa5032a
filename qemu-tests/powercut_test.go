package qemutests

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/qemu-tests/writelog"
)

const (
	// cutDisk is small, so that looking at it hundreds of times is cheap, and larger
	// than the image, so that the first boot has to grow into it.
	cutDisk = 4 * layout.GiB
	// cutsBetween is how often the power is cut between two flushes.
	cutsBetween = 3
	// cutsToBoot is how many of the disks are booted for real, and of these a sample.
	cutsToBoot, cutsToBootSampled = 4, 2
)

// TestPowerCutInFirstBoot records every write and flush of a first boot, firmware
// and boot loader included, and cuts the power after each flush, and between
// flushes with some of the writes done, in any order, and one of them torn.
// Whatever the disk holds then is whole, or e2fsck -p makes it so. End: the next
// boot is good; a few are tried for real.
func TestPowerCutInFirstBoot(t *testing.T) {
	t.Parallel()
	before := copyOf(t, imagePath(t), cutDisk)
	log := recordFirstBoot(t, before)
	epochs := log.Epochs()
	c := &cutDiskCheck{t: t, path: copyOf(t, imagePath(t), cutDisk), random: rand.New(rand.NewPCG(3, 4))}
	var err error
	if c.disk, err = os.OpenFile(c.path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	defer c.disk.Close()
	var booted []string
	toBoot := series(cutsToBoot, cutsToBootSampled)
	for i, epoch := range epochs {
		for range cutsBetween {
			c.apply(log, c.someOf(epoch))
			c.check("epoch", i, "cut in its middle")
		}
		if i*toBoot/len(epochs) >= len(booted) {
			booted = append(booted, copyOf(t, c.path, 0))
		}
		c.apply(log, wholes(epoch))
		c.check("epoch", i, "complete")
		if t.Failed() {
			return
		}
	}
	t.Logf("%d writes and flushes; the power was cut %d times after a flush and %d times between two", len(log.Entries), len(epochs), cutsBetween*len(epochs))
	for _, disk := range booted {
		t.Run("boots", func(t *testing.T) { boot(t, qemu.Options{Image: disk}).powerOff() })
	}
}

// recordFirstBoot boots a disk to a good boot, turns it off, and returns the log
// of its writes.
func recordFirstBoot(t *testing.T, disk string) *writelog.Log {
	t.Helper()
	path := filepath.Join(t.TempDir(), "writes")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	const room = 8 * layout.GiB // sparse
	if err := f.Truncate(room); err != nil {
		t.Fatal(err)
	}
	boot(t, qemu.Options{Image: disk, WriteLog: path}).powerOff()
	log, err := writelog.Read(f, room)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// part is what of a write reaches the medium.
type part struct {
	writelog.Entry
	size int64
}

func wholes(entries []writelog.Entry) (parts []part) {
	for _, e := range entries {
		parts = append(parts, part{e, e.Size})
	}
	return parts
}

// cutDiskCheck looks at a disk after each power cut. What has not changed since
// it was last looked at is not looked at again.
type cutDiskCheck struct {
	t       *testing.T
	path    string
	disk    *os.File
	random  *rand.Rand
	changed [layout.NumState + 1]bool // by partition; 0: the partition table
	record  uint64                    // generation of the boot record at the last cut
	made    bool                      // the state partition's file system
}

// someOf chooses which of an epoch's writes were done when the power went: each by
// a coin, in any order, and the last of them only in part.
func (c *cutDiskCheck) someOf(epoch []writelog.Entry) []part {
	var some []part
	for _, e := range epoch {
		if c.random.IntN(2) == 0 {
			some = append(some, part{e, e.Size})
		}
	}
	c.random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	if len(some) > 0 {
		last := &some[len(some)-1]
		last.size = c.random.Int64N(last.Size/512+1) * 512
	}
	return some
}

func (c *cutDiskCheck) apply(log *writelog.Log, parts []part) {
	c.t.Helper()
	for _, p := range parts {
		if err := log.Apply(c.disk, p.Entry, p.size); err != nil {
			c.t.Fatal(err)
		}
		if p.size > 0 {
			c.touch(p.Offset)
		}
	}
}

// touch notes which partition a write is for.
func (c *cutDiskCheck) touch(at int64) {
	table, err := gpt.Read(c.disk, cutDisk)
	if err != nil {
		c.changed[0] = true
		return
	}
	for i, p := range table.Partitions {
		if start := p.Offset(table.SectorSize); at >= start && at < start+p.Size(table.SectorSize) {
			c.changed[i+1] = true
			return
		}
	}
	c.changed[0] = true
}

// check holds all that has changed against the tools that know it.
func (c *cutDiskCheck) check(where ...any) {
	c.t.Helper()
	table, err := gpt.Read(c.disk, cutDisk)
	if err != nil {
		c.t.Fatalf("%v: no copy of the partition table is whole: %v", where, err)
	}
	checks := []struct {
		number int
		do     func(*gpt.Table) error
	}{{0, c.table}, {layout.NumESP, c.esp}, {layout.NumBoot, c.bootRecord}, {layout.NumState, c.state}}
	for _, check := range checks {
		if c.changed[check.number] {
			if err := check.do(table); err != nil {
				c.t.Errorf("%v: %v", where, err)
			}
		}
	}
	for _, number := range []int{layout.NumUsrA, layout.NumVerityA, layout.NumUsrB, layout.NumVerityB, layout.NumBIOS} {
		if c.changed[number] {
			c.t.Errorf("%v: a boot has written to partition %d", where, number)
		}
	}
	c.changed = [layout.NumState + 1]bool{}
}

// table: where our reader finds both copies whole, sgdisk must agree.
func (c *cutDiskCheck) table(table *gpt.Table) error {
	if len(table.Partitions) != layout.NumState {
		return errors.New("the partition table has lost partitions")
	}
	if table.Damage != nil {
		return nil // between the writing of the two copies
	}
	out, err := exec.Command(testkit.Tool(c.t, "sgdisk"), "-v", c.path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		return errors.Join(errors.New("sgdisk -v: "+string(out)), err)
	}
	return nil
}

// esp: FAT, which fsck.vfat at most has to tidy up, with one whole boot entry.
func (c *cutDiskCheck) esp(table *gpt.Table) error {
	copied := c.extract(table, layout.NumESP)
	defer os.Remove(copied)
	if out, err := exec.Command(testkit.Tool(c.t, "fsck.vfat"), "-a", copied).CombinedOutput(); !tidied(err) {
		return errors.Join(errors.New("fsck.vfat -a: "+string(out)), err)
	}
	if out, err := exec.Command(testkit.Tool(c.t, "fsck.vfat"), "-n", copied).CombinedOutput(); err != nil {
		return errors.Join(errors.New("fsck.vfat -n, after -a: "+string(out)), err)
	}
	return c.entry(table)
}

// entry: a file that is cut short beside a whole one is what a renaming may leave;
// the boot loader passes it over. Both names may also lead to the same clusters,
// which our reader refuses and the boot loader does not mind: mtools reads it.
func (c *cutDiskCheck) entry(table *gpt.Table) error {
	dir, err := os.MkdirTemp(c.t.TempDir(), "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out, err := exec.Command(testkit.Tool(c.t, "mcopy"), "-n", "-i", volume(c.path, table), "::/"+layout.ESPEntries+"/*.efi", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mcopy: %w: %s", err, out)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.efi"))
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err == nil {
			_, err = uki.Parse(data)
		}
		if err == nil {
			return nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", filepath.Base(name), err))
	}
	return fmt.Errorf("no boot entry of the ESP is whole: %w", errors.Join(faults...))
}

// bootRecord: one copy is whole, and never older than at the last cut. Only the
// first write of all may leave none.
func (c *cutDiskCheck) bootRecord(table *gpt.Table) error {
	p := table.Partitions[layout.NumBoot-1]
	r, err := bootrecord.Read(io.NewSectionReader(c.disk, p.Offset(table.SectorSize), p.Size(table.SectorSize)))
	if err != nil && c.record > 0 || err != nil && !errors.Is(err, bootrecord.ErrDamaged) {
		return err
	}
	if r.Generation < c.record {
		return errors.New("the boot record is older than it was")
	}
	c.record = r.Generation
	return nil
}

// state: not made yet, by its attribute, or a file system that e2fsck -p repairs.
func (c *cutDiskCheck) state(table *gpt.Table) error {
	if table.Partitions[layout.NumState-1].Attributes&layout.AttrStateFormatted == 0 {
		if c.made {
			return errors.New("the state partition was made, and is not any more")
		}
		return nil
	}
	c.made = true
	copied := c.extract(table, layout.NumState)
	defer os.Remove(copied)
	if out, err := exec.Command(testkit.Tool(c.t, "e2fsck"), "-p", copied).CombinedOutput(); !tidied(err) {
		return errors.Join(errors.New("e2fsck -p: "+string(out)), err)
	}
	if out, err := exec.Command(testkit.Tool(c.t, "e2fsck"), "-f", "-n", copied).CombinedOutput(); err != nil {
		return errors.Join(errors.New("e2fsck -f -n, after -p: "+string(out)), err)
	}
	return nil
}

// tidied tells that a file system was whole (exit status 0) or has been made so (1).
func tidied(err error) bool {
	var exit *exec.ExitError
	return err == nil || errors.As(err, &exit) && exit.ExitCode() == 1
}

// extract copies a partition out of the disk.
func (c *cutDiskCheck) extract(table *gpt.Table, number int) string {
	p := table.Partitions[number-1]
	return extract(c.t, c.disk, p.Offset(table.SectorSize), p.Size(table.SectorSize))
}
