package gpt

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// newDisk writes a table into a sparse file.
func newDisk(t *testing.T, table *Table) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(int64(table.Sectors) * table.SectorSize); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(file); err != nil {
		t.Fatal(err)
	}
	return file
}

// tables are layouts on disks of many sizes.
func tables() map[string]*Table {
	list := map[string]*Table{"small": small(512), "ketch": ketch(512, 4*layout.GiB), "grown": ketch(512, 4*layout.GiB)}
	grown := list["grown"]
	grown.Resize(100*layout.GiB/512 + 5)
	grown.Grow(layout.NumState)

	full := &Table{DiskID: id(200), SectorSize: 512, Sectors: 2*34 + 128}
	for i := range entryCount {
		lba := uint64(34 + i)
		full.Partitions = append(full.Partitions, Partition{Type: MustParseGUID(layout.TypeState), ID: id(byte(i)), First: lba, Last: lba, Name: fmt.Sprint(i)})
	}
	list["full"] = full
	for _, sectors := range []uint64{68, 69, 2048, 1<<22 + 1, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<33 + 7} {
		t := &Table{DiskID: id(201), SectorSize: 512, Sectors: sectors}
		t.Partitions = []Partition{{Type: MustParseGUID(layout.TypeESP), ID: id(1), First: 34, Last: 34, Name: "first block"}}
		if sectors > 68 {
			t.Partitions = append(t.Partitions, Partition{Type: MustParseGUID(layout.TypeState), ID: id(2), First: 35, Last: 35, Attributes: 1 << 48})
			t.Grow(2)
		}
		list[fmt.Sprintf("%d sectors", sectors)] = t
	}
	return list
}

// verify runs sgdisk -v, which exits 0 whatever it finds.
func verify(t *testing.T, sgdisk, disk string) {
	t.Helper()
	out, err := exec.Command(sgdisk, "-v", disk).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found.") || strings.Contains(string(out), "Problem:") ||
		strings.Contains(strings.ToLower(string(out)), "warning") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}
}

func TestSgdisk(t *testing.T) {
	sgdisk := testkit.Tool(t, "sgdisk")
	for name, table := range tables() {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(t, table).Name()
			verify(t, sgdisk, disk)
			out, err := exec.Command(sgdisk, "-p", disk).CombinedOutput()
			if err != nil {
				t.Fatalf("sgdisk -p: %v\n%s", err, out)
			}
			for _, want := range []string{
				fmt.Sprintf("Disk identifier (GUID): %s\n", strings.ToUpper(table.DiskID.String())),
				"Partition table holds up to 128 entries\n",
				fmt.Sprintf("First usable sector is %d, last usable sector is %d\n", table.FirstUsable(), table.LastUsable()),
			} {
				if !strings.Contains(string(out), want) {
					t.Errorf("sgdisk -p says no %q:\n%s", want, out)
				}
			}
			for i, p := range table.Partitions {
				line := regexp.MustCompile(fmt.Sprintf(`(?m)^ *%d +%d +%d `, i+1, p.First, p.Last))
				if p.Used() != line.Match(out) {
					t.Errorf("sgdisk -p: partition %d differs:\n%s", i+1, out)
				}
			}
		})
	}
}

// TestSfdisk compares every field with what sfdisk reads.
func TestSfdisk(t *testing.T) {
	sfdisk := testkit.Tool(t, "sfdisk")
	for name, table := range tables() {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(t, table).Name()
			out, err := exec.Command(sfdisk, "--verify", disk).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "No errors detected.") {
				t.Errorf("sfdisk --verify: %v\n%s", err, out)
			}
			out, err = exec.Command(sfdisk, "--json", disk).Output()
			if err != nil {
				t.Fatalf("sfdisk --json: %v\n%s", err, out)
			}
			compareSfdisk(t, table, out)
		})
	}
}

// TestFdisk asks fdisk about disks with sectors of 4096 bytes, which neither
// sgdisk nor sfdisk reads from a file.
func TestFdisk(t *testing.T) {
	fdisk := testkit.Tool(t, "fdisk")
	for _, table := range []*Table{small(4096), ketch(4096, 4*layout.GiB)} {
		disk := newDisk(t, table).Name()
		check := exec.Command(fdisk, "-b", "4096", disk)
		check.Stdin = strings.NewReader("v\nq\n")
		out, err := check.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "No errors detected.") {
			t.Errorf("fdisk, command v: %v\n%s", err, out)
		}
		out, err = exec.Command("env", "LC_ALL=C.UTF-8", fdisk, "-b", "4096", "-l", "-o", "Device,Start,End,Type-UUID,UUID,Name", disk).CombinedOutput()
		if err != nil {
			t.Fatalf("fdisk -l: %v\n%s", err, out)
		}
		for i, p := range table.Partitions {
			line := fmt.Sprintf(`%s%d +%d +%d %s %s %s`, disk, i+1, p.First, p.Last, strings.ToUpper(p.Type.String()), strings.ToUpper(p.ID.String()), p.Name)
			if p.Used() && !regexp.MustCompile(line).Match(out) {
				t.Errorf("fdisk -l says no %q:\n%s", line, out)
			}
		}
	}
}

// sfdiskTable is what sfdisk --json prints.
type sfdiskTable struct {
	PartitionTable struct {
		Label, ID         string
		FirstLBA, LastLBA uint64
		SectorSize        int64
		Partitions        []struct {
			Node        string
			Start, Size uint64
			Type, UUID  string
			Name        string
		}
	}
}

func compareSfdisk(t *testing.T, table *Table, out []byte) {
	t.Helper()
	var parsed sfdiskTable
	if err := json.Unmarshal(out, &parsed); err != nil {
		t.Fatalf("sfdisk --json: %v\n%s", err, out)
	}
	got := parsed.PartitionTable
	if got.Label != "gpt" || !strings.EqualFold(got.ID, table.DiskID.String()) || got.FirstLBA != table.FirstUsable() ||
		got.LastLBA != table.LastUsable() || got.SectorSize != table.SectorSize {
		t.Errorf("sfdisk reads another table: %+v", got)
	}
	next := 0
	for i, p := range table.Partitions {
		if !p.Used() {
			continue
		}
		if next >= len(got.Partitions) {
			t.Fatalf("sfdisk reads %d partitions", next)
		}
		g := got.Partitions[next]
		next++
		if !strings.HasSuffix(g.Node, fmt.Sprint(i+1)) || g.Start != p.First || g.Size != p.Last-p.First+1 || g.Name != p.Name ||
			!strings.EqualFold(g.Type, p.Type.String()) || !strings.EqualFold(g.UUID, p.ID.String()) {
			t.Errorf("partition %d: sfdisk reads %+v; want %+v", i+1, g, p)
		}
	}
	if next != len(got.Partitions) {
		t.Errorf("sfdisk reads %d partitions; want %d", len(got.Partitions), next)
	}
}

// TestSgdiskAfterRepair damages a disk in many places; after Read and Write
// sgdisk finds nothing wrong.
func TestSgdiskAfterRepair(t *testing.T) {
	sgdisk := testkit.Tool(t, "sgdisk")
	table := ketch(512, 4*layout.GiB)
	disk := newDisk(t, table)
	size := int64(table.Sectors) * 512
	for name, ranges := range copies(table) {
		for _, r := range ranges {
			for offset := r.Offset; offset < r.Offset+r.Size; offset += max(5, r.Size/12) {
				if _, err := disk.WriteAt([]byte{0xa5}, offset); err != nil {
					t.Fatal(err)
				}
				got, err := Read(disk, size)
				if err != nil || len(got.Damage) != 1 || !strings.HasPrefix(got.Damage[0], name) {
					t.Fatalf("byte %d of the %s copy changed: %v, damage %q", offset, name, err, got.Damage)
				}
				if err := got.Write(disk); err != nil {
					t.Fatal(err)
				}
				verify(t, sgdisk, disk.Name())
			}
		}
	}
}

// TestForeign reads a table that sgdisk made and changed.
func TestForeign(t *testing.T) {
	sgdisk := testkit.Tool(t, "sgdisk")
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, layout.GiB); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sgdisk, "-U", id(9).String(), "-n", "1:0:+64M", "-t", "1:ef00", "-c", "1:EFI – système", "-u", "1:"+id(1).String(),
		"-n", "5:0:0", "-A", "5:set:48", "-u", "5:"+id(5).String(), disk).CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	file, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := Read(file, layout.GiB)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Damage) > 0 || got.DiskID != id(9) || len(got.Partitions) != 5 || got.ByID(id(5)) != 5 ||
		got.Partitions[0].Name != "EFI – système" || got.Partitions[0].Size(512) != 64*mib || got.Partitions[4].Attributes != 1<<48 {
		t.Errorf("Read = %+v", got)
	}
	if err := got.Write(file); err != nil {
		t.Fatal(err)
	}
	verify(t, sgdisk, disk)
}
