package memory

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

func example() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"meminfo": file(`MemTotal:         480000 kB
MemFree:          350000 kB
MemAvailable:     420000 kB
Active(file):      10000 kB
Inactive(file):    69000 kB
AnonPages:         34000 kB
Shmem:               300 kB
SReclaimable:       1000 kB
SUnreclaim:         7500 kB
KernelStack:        1600 kB
PageTables:          700 kB
SecPageTables:         0 kB
Percpu:              400 kB
HugePages_Total:       0
`),
		"iomem": file(`00000000-00000fff : Reserved
00001000-0009ffff : System RAM
000a0000-000fffff : PCI Bus 0000:00
00100000-1fffffff : System RAM
  01800000-025fffff : Kernel code
  02800000-02afffff : Kernel rodata
`),
		"vmallocinfo": file(`0xffffc90000000000-0xffffc90000005000   20480 dup_task_struct+0x5f/0x190 pages=4 vmalloc N0=4
0xffffc90000005000-0xffffc90000007000    8192 acpi_os_map_iomem+0x1a1/0x1c0 phys=0x000000001f77d000 ioremap
0xffffc90000008000-0xffffc9000000d000   20480 zlib_open+0x1/0x2 pages=5 vmalloc N0=5
`),
		"1/smaps_rollup":  file("00400000-7fff45688000 ---p 00000000 00:00 0    [rollup]\nRss:  5256 kB\nPss: 3928 kB\nPss_File: 1756 kB\nAnonymous: 2172 kB\n"),
		"1/comm":          file("init\n"),
		"2/smaps_rollup":  file(""),
		"2/comm":          file("kthreadd\n"),
		"80/smaps_rollup": file("x [rollup]\nPss: 9 kB\nPss_File: 1 kB\nAnonymous: 16628 kB\n"),
		"80/comm":         file("containerd\n"),
	}
}

func TestRead(t *testing.T) {
	got, err := Read(example())
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(0x9f000+0x1ff00000) / 1024; got.GivenKiB != want {
		t.Errorf("given = %d KiB; want %d", got.GivenKiB, want)
	}
	var sum int64
	for _, row := range got.Rows {
		sum += row.KiB
	}
	if sum != got.UsedKiB || got.UsedKiB != got.GivenKiB-420000 {
		t.Errorf("rows add up to %d KiB, used are %d of %d", sum, got.UsedKiB, got.GivenKiB)
	}
	want := map[string]int64{"kernel image": 14<<10 + 3<<10, "vmalloc": 20, "held back": 350000 + 79000 + 1000 - 420000, "page tables": 700}
	for _, row := range got.Rows {
		if kib, ok := want[row.Name]; ok && kib != row.KiB {
			t.Errorf("%s = %d KiB; want %d", row.Name, row.KiB, kib)
		}
	}
	if diff := cmp.Diff([]Process{{PID: 80, Name: "containerd", AnonKiB: 16628, FileKiB: 1}, {PID: 1, Name: "init", AnonKiB: 2172, FileKiB: 1756}}, got.Processes); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, change := range map[string]func(fstest.MapFS){
		"no meminfo":    func(p fstest.MapFS) { delete(p, "meminfo") },
		"empty meminfo": func(p fstest.MapFS) { p["meminfo"].Data = nil },
		"bad iomem":     func(p fstest.MapFS) { p["iomem"].Data = []byte("x : System RAM\n") },
		"bad pages":     func(p fstest.MapFS) { p["vmallocinfo"].Data = []byte("x pages=y\n") },
	} {
		proc := example()
		change(proc)
		if got, err := Read(proc); err == nil {
			t.Errorf("%s: Read = %+v; want an error", name, got)
		}
	}
	proc := example() // as the kernel shows it to others than root
	proc["iomem"].Data = []byte("00000000-00000000 : System RAM\n00000000-00000000 : Kernel code\n")
	if _, err := Read(proc); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Read without addresses = %v; want a lack of permission", err)
	}
}

// TestThisComputer holds the table against the computer that runs the test.
func TestThisComputer(t *testing.T) {
	got, err := Read(os.DirFS("/proc"))
	if errors.Is(err, fs.ErrPermission) {
		testkit.Need(t, "root to read the addresses in /proc/iomem", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.UsedKiB <= 0 || got.UsedKiB >= got.GivenKiB || len(got.Processes) == 0 {
		t.Errorf("Read = %+v; want some memory in use, by some process", got)
	}
}

// FuzzRead: a process says how it is called, and nothing that it may say breaks the
// table, whose rows add up.
func FuzzRead(f *testing.F) {
	f.Add("containerd\n", "x [rollup]\nPss: 9 kB\nPss_File: 1 kB\nAnonymous: 16628 kB\n")
	f.Add("", "Anonymous: -1 kB\nPss: 99999999999999999999 kB\n")
	f.Fuzz(func(t *testing.T, comm, rollup string) {
		proc := example()
		proc["99/comm"] = &fstest.MapFile{Data: []byte(comm)}
		proc["99/smaps_rollup"] = &fstest.MapFile{Data: []byte(rollup)}
		table, err := Read(proc)
		if err != nil {
			return
		}
		var sum int64
		for _, row := range table.Rows {
			sum += row.KiB
		}
		if sum != table.UsedKiB {
			t.Errorf("the rows add up to %d KiB; want %d", sum, table.UsedKiB)
		}
	})
}
