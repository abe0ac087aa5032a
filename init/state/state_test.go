package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
)

// image is the table of a disk as the builder makes it: 1 GiB.
func image() *gpt.Table {
	const sectors = layout.GiB / 512
	return &gpt.Table{
		DiskID: gpt.MustParseGUID("aaaaaaaa-0000-0000-0000-000000000001"), SectorSize: 512, Sectors: sectors,
		Partitions: []gpt.Partition{
			{Type: gpt.MustParseGUID(layout.TypeESP), ID: gpt.MustParseGUID("aaaaaaaa-0000-0000-0000-000000000002"), First: 2048, Last: 4095},
			{Type: gpt.MustParseGUID(layout.TypeState), ID: gpt.MustParseGUID("aaaaaaaa-0000-0000-0000-000000000003"), First: 4096, Last: sectors - 2049, Name: layout.LabelState},
		},
	}
}

func counting() random {
	n := byte(0)
	return func() (b [16]byte, err error) {
		n++
		for i := range b {
			b[i] = n
		}
		return b, nil
	}
}

func TestAdaptFirstBoot(t *testing.T) {
	table, before := image(), image()
	number, err := find(table)
	if err != nil || number != 2 {
		t.Fatalf("find = %d, %v; want 2", number, err)
	}
	const sectors = 10*layout.GiB/512 + 7 // a disk that is no multiple of anything
	changed, err := adapt(table, number, sectors, counting())
	if err != nil || !changed {
		t.Fatalf("adapt = %v, %v; want a change", changed, err)
	}
	esp, state := table.Partitions[0], table.Partitions[1]
	ids := map[gpt.GUID]bool{table.DiskID: true, state.ID: true, esp.ID: true, before.DiskID: true, before.Partitions[0].ID: true, before.Partitions[1].ID: true}
	if len(ids) != 6 {
		t.Errorf("GUIDs %s, %s, %s are not the machine's own", table.DiskID, esp.ID, state.ID)
	}
	if esp.ID = before.Partitions[0].ID; esp != before.Partitions[0] {
		t.Error("more of the ESP has changed than its GUID")
	}
	end := (state.Last + 1) * 512
	if end%layout.Alignment != 0 || state.Last > table.LastUsable() || table.LastUsable()-state.Last > 2*layout.MiB/512 {
		t.Errorf("the state partition ends at byte %d; want the last whole MiB", end)
	}
}

func TestAdaptLater(t *testing.T) {
	table := image()
	table.Partitions[1].Attributes = layout.AttrStateFormatted
	sectors := table.Sectors
	// The image ends its last partition where it could not grow any more.
	if changed, err := adapt(table, 2, sectors, counting()); changed || err != nil {
		t.Errorf("adapt of a table that fits = %v, %v; want no change", changed, err)
	}
	id, disk, esp := table.Partitions[1].ID, table.DiskID, table.Partitions[0]
	if changed, err := adapt(table, 2, 2*sectors, counting()); !changed || err != nil {
		t.Errorf("adapt to a larger disk = %v, %v; want a change", changed, err)
	}
	if table.Partitions[1].ID != id || table.DiskID != disk || table.Partitions[0] != esp {
		t.Error("a machine's GUIDs have changed after its first boot")
	}
	if _, err := adapt(table, 2, sectors/2, counting()); err == nil {
		t.Error("adapt to a smaller disk = nil; want an error")
	}
	table.Damage = []string{"backup copy: gone"}
	if changed, err := adapt(table, 2, 2*sectors, counting()); !changed || err != nil {
		t.Errorf("adapt of a damaged table = %v, %v; want it rewritten", changed, err)
	}
}

func TestFind(t *testing.T) {
	two := image()
	two.Partitions = append(two.Partitions, two.Partitions[1])
	none := image()
	none.Partitions = none.Partitions[:1]
	for _, table := range []*gpt.Table{two, none} {
		if number, err := find(table); err == nil {
			t.Errorf("find among %d partitions = %d; want an error", len(table.Partitions), number)
		}
	}
}

func TestRenewIsVersion4(t *testing.T) {
	var id gpt.GUID
	if err := renew(&id, func() (b [16]byte, err error) { return b, nil }); err != nil {
		t.Fatal(err)
	}
	if want := "00000000-0000-4000-8000-000000000000"; id.String() != want {
		t.Errorf("renew = %s; want %s", id, want)
	}
	if err := renew(&id, func() ([16]byte, error) { return [16]byte{}, errors.New("none") }); err == nil {
		t.Error("renew without randomness = nil; want an error")
	}
}

func TestRandomFrom(t *testing.T) {
	for _, test := range []struct {
		n    int
		err  error
		want string
	}{{16, nil, ""}, {7, nil, "get random bytes: got 7 of 16"}, {-1, unix.EFAULT, "get random bytes: bad address"}} {
		got := ""
		if _, err := randomFrom(func([]byte) (int, error) { return test.n, test.err }); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("randomFrom with %d, %v = %q; want %q", test.n, test.err, got, test.want)
		}
	}
}

// ext4 makes a file system with the reference tool.
func ext4(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ext4")
	args = append([]string{"-q", "-F"}, append(args, path, "16M")...)
	if out, err := exec.Command(testkit.Tool(t, "mkfs.ext4"), args...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	return path
}

func TestSuperblock(t *testing.T) {
	for _, test := range []struct {
		name          string
		args, debugfs []string
		block, blocks int64
		clean, quotas bool
	}{
		{"new", nil, nil, 1 << 10, 16 << 10, true, false},
		{"with quotas", []string{"-O", "quota,project", "-E", "quotatype=prjquota"}, nil, 1 << 10, 16 << 10, true, true},
		{"with quotas of users", []string{"-O", "quota"}, nil, 1 << 10, 16 << 10, true, false},
		{"4 KiB blocks, not 64bit", []string{"-b", "4096", "-O", "^64bit"}, nil, 4 << 10, 4 << 10, true, false},
		{"not unmounted", nil, []string{"ssv state 0"}, 1 << 10, 16 << 10, false, false},
		{"with an error", nil, []string{"ssv state 3"}, 1 << 10, 16 << 10, false, false},
		{"journal to replay", nil, []string{"feature needs_recovery"}, 1 << 10, 16 << 10, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := ext4(t, test.args...)
			for _, command := range test.debugfs {
				if out, err := exec.Command(testkit.Tool(t, "debugfs"), "-w", "-R", command, path).CombinedOutput(); err != nil {
					t.Fatalf("debugfs %s: %v\n%s", command, err, out)
				}
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := readSuperblock(f)
			if err != nil {
				t.Fatal(err)
			}
			if got.quotas() != test.quotas {
				t.Errorf("quotas = %v; want %v", got.quotas(), test.quotas)
			}
			if got.blockSize() != test.block || got.blocks() != test.blocks || got.clean() != test.clean {
				t.Errorf("superblock: %d blocks of %d, clean %v; want %d of %d, %v",
					got.blocks(), got.blockSize(), got.clean(), test.blocks, test.block, test.clean)
			}
		})
	}
}

func TestSuperblockRefuses(t *testing.T) {
	for _, image := range []string{"", strings.Repeat("\x00", 4096), strings.Repeat("\xff", 4096)} {
		if _, err := readSuperblock(strings.NewReader(image)); err == nil {
			t.Errorf("readSuperblock of %d bytes %.1q = nil; want an error", len(image), image)
		}
	}
}

func TestCorrected(t *testing.T) {
	for status, want := range map[int]bool{1: true, 2: true, 3: true, 4: false, 5: false, 8: false, 128: false} {
		if got := corrected(&reaper.ExitError{Status: unix.WaitStatus(status << 8)}); got != want {
			t.Errorf("corrected(exit status %d) = %v; want %v", status, got, want)
		}
	}
	if corrected(&reaper.ExitError{Status: 9}) || corrected(errors.New("no e2fsck")) {
		t.Error("a killed or missing e2fsck has corrected nothing")
	}
}

func FuzzSuperblock(f *testing.F) {
	f.Add(strings.Repeat("\x00", 2048))
	f.Fuzz(func(t *testing.T, image string) {
		if s, err := readSuperblock(strings.NewReader(image)); err == nil && (s.blocks() < 0 || s.blockSize() < 1024) {
			t.Errorf("superblock of %d blocks of %d", s.blocks(), s.blockSize())
		}
		findBackup(strings.NewReader(image), int64(len(image)))
	})
}

// TestEquip: a file system as earlier versions made it gets project quotas and a
// reserve, and is whole. One whose inodes have no room for a project is left as it is,
// and the machine says so.
func TestEquip(t *testing.T) {
	for _, test := range []struct {
		name     string
		args     []string
		equipped bool
	}{
		{"old", []string{"-m", "0"}, true},
		{"with a reserve alone", []string{"-m", "5"}, true},
		{"with quotas alone", []string{"-m", "0", "-O", "quota,project", "-E", "quotatype=prjquota"}, true},
		{"small inodes", []string{"-m", "0", "-I", "128"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !testkit.InNamespaces(t, unix.CLONE_NEWPID|unix.CLONE_NEWNS) {
				return
			}
			path := ext4(t, test.args...)
			p := &partition{m: machine.New(), reaper: reaper.New(&kmsg.Log{}), node: path}
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			super, err := readSuperblock(f)
			if err != nil || super.equipped() != test.equipped || !super.clean() {
				t.Errorf("superblock = %+v, %v; want it equipped: %v", super, err, test.equipped)
			}
			if degraded := p.m.Degraded(); len(degraded) > 0 == test.equipped {
				t.Errorf("degraded: %q", degraded)
			}
			if out, err := p.reaper.Run(time.Minute, "/usr/sbin/e2fsck", "-fn", path); err != nil {
				t.Errorf("e2fsck -fn: %v\n%s", err, out)
			}
		})
	}
}

// TestTornSuperblock: a power cut leaves one sector of the superblock as it was, and
// the file system is put right by a copy, if there is one that is whole and its own.
func TestTornSuperblock(t *testing.T) {
	const small, large = 1 << 10, 4 << 10
	flip := func(t *testing.T, path string, offset int64) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, offset); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b, offset); err != nil {
			t.Fatal(err)
		}
	}
	firstCopy := func(block int64) int64 {
		if block == small {
			return 8193 * small
		}
		return 8 * block * block
	}
	for _, test := range []struct {
		name   string
		block  int64
		damage []int64 // offsets of bytes that are not as they were
		mended bool
	}{
		{"first sector, 1 KiB blocks", small, []int64{superblockOffset + 0x34}, true},
		{"second sector, 1 KiB blocks", small, []int64{superblockOffset + 0x300}, true},
		{"first sector, 4 KiB blocks", large, []int64{superblockOffset + 0x34}, true},
		{"second sector, 4 KiB blocks", large, []int64{superblockOffset + 0x300}, true},
		{"the first copy, too", small, []int64{superblockOffset + 0x34, firstCopy(small) + 0x34}, true},
		{"the first copy's magic number, too", large, []int64{superblockOffset + 0x34, firstCopy(large) + 0x38}, true},
		{"a copy of another file system", small, []int64{superblockOffset + uuidOffset}, false},
		{"no magic number", small, []int64{superblockOffset + 0x38}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !testkit.InNamespaces(t, unix.CLONE_NEWPID|unix.CLONE_NEWNS) {
				return
			}
			path := filepath.Join(t.TempDir(), "ext4")
			if out, err := exec.Command(testkit.Tool(t, "mkfs.ext4"), "-q", "-F", "-b", strconv.FormatInt(test.block, 10), "-m", "1",
				"-O", "quota,project", "-E", "quotatype=prjquota", path, "600M").CombinedOutput(); err != nil {
				t.Fatalf("mkfs.ext4: %v\n%s", err, out)
			}
			for _, offset := range test.damage {
				flip(t, path, offset)
			}
			p := &partition{m: machine.New(), reaper: reaper.New(&kmsg.Log{}), node: path}
			if err := p.check(); (err == nil) != test.mended {
				t.Fatalf("check = %v; want it mended: %v", err, test.mended)
			}
			if out, err := p.reaper.Run(time.Minute, "/usr/sbin/e2fsck", "-fn", path); (err == nil) != test.mended {
				t.Errorf("e2fsck -fn: %v\n%s", err, out)
			}
		})
	}
}

// TestNoCopy: a file system of one group has no copy, and is left as it is.
func TestNoCopy(t *testing.T) {
	path := ext4(t, "-b", "4096")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := checkWhole(f); err != nil {
		t.Errorf("checkWhole of a new file system = %v", err)
	}
	f.WriteAt([]byte{7}, superblockOffset+0x34)
	if err := checkWhole(f); !errors.Is(err, errTorn) {
		t.Errorf("checkWhole of a torn one = %v; want %v", err, errTorn)
	}
	if b, err := findBackup(f, 16<<20); !errors.Is(err, errTorn) {
		t.Errorf("findBackup = %+v, %v; want %v", b, err, errTorn)
	}
}
