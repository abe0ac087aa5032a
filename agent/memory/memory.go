// Package memory tells where a machine's memory goes, from /proc
// (proc_meminfo(5), proc_pid_smaps(5), Documentation/admin-guide/mm).
//
// What is in use is what package linux/meminfo says, as everywhere in Ketch. The
// rows of a Table add up to that, by the last of them, which is whatever is left.
package memory

import (
	"bufio"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/linux/meminfo"
)

// The types of the table are those of ketchd's API.
type (
	Table   = node.MemoryTable
	Row     = node.MemoryRow
	Process = node.ProcessMemory
)

// Read makes the table from a /proc.
func Read(proc fs.FS) (*Table, error) {
	used, err := meminfo.Read(proc)
	if err != nil {
		return nil, err
	}
	info, err := meminfo.Numbers(proc, "meminfo")
	if err != nil {
		return nil, err
	}
	ram, image, err := meminfo.RAM(proc)
	if err != nil {
		return nil, err
	}
	vmalloc, err := vmalloc(proc)
	if err != nil {
		return nil, err
	}
	processes, err := processes(proc)
	if err != nil {
		return nil, err
	}
	t := &Table{GivenKiB: used.GivenKiB, AvailableKiB: used.AvailableKiB, UsedKiB: used.UsedKiB(), Processes: processes}
	files := info["Active(file)"] + info["Inactive(file)"]
	structs := ram / 4 * structPage / 1024
	t.Rows = []Row{
		row("kernel image", image, "code, constants, data"),
		row("page descriptors", structs, fmt.Sprintf("%d bytes for each page", structPage)),
		row("kernel, taken while it started", ram-info["MemTotal"]-image-structs, "hash tables, first per-processor areas"),
		row("slab, not reclaimable", info["SUnreclaim"], "kernel objects"),
		row("vmalloc", vmalloc, "drivers, BPF"),
		row("kernel stacks", info["KernelStack"], ""),
		row("page tables", info["PageTables"]+info["SecPageTables"], ""),
		row("per-processor areas", info["Percpu"], ""),
		row("anonymous memory of processes", info["AnonPages"], "the list below"),
		row("files in memory", info["Shmem"], "tmpfs and shared memory"),
		row("held back", info["MemFree"]+files+info["SReclaimable"]-info["MemAvailable"], "what the kernel keeps free, or takes for pages in use"),
	}
	left := t.UsedKiB
	for _, row := range t.Rows {
		left -= row.KiB
	}
	t.Rows = append(t.Rows, row("the rest", left, "pages of drivers and of the network; inexactness of the above"))
	return t, nil
}

func row(name string, kib int64, note string) Row { return Row{Name: name, KiB: kib, Note: note} }

// structPage is sizeof(struct page) in Linux 6.1 on 64-bit machines.
const structPage = 64

// vmalloc adds up the pages that the kernel has mapped side by side, in KiB. The
// stacks of its threads, which are counted elsewhere, are left out.
func vmalloc(proc fs.FS) (kib int64, err error) {
	f, err := proc.Open("vmallocinfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if slices.ContainsFunc(stacks(), func(caller string) bool { return strings.Contains(lines.Text(), caller) }) {
			continue
		}
		for _, field := range strings.Fields(lines.Text()) {
			if pages, ok := strings.CutPrefix(field, "pages="); ok {
				n, err := strconv.ParseInt(pages, 10, 64)
				if err != nil {
					return 0, fmt.Errorf("read vmallocinfo: %w", err)
				}
				kib += n * 4
			}
		}
	}
	return kib, nil
}

// stacks are the callers that map stacks of threads, depending on what the compiler
// has made of them.
func stacks() []string { return []string{" kernel_clone+", " fork_idle+", " dup_task_struct+"} }

// processes lists those with memory of their own.
func processes(proc fs.FS) ([]Process, error) {
	rollups, err := fs.Glob(proc, "[0-9]*/smaps_rollup")
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, rollup := range rollups {
		dir := path.Dir(rollup)
		sizes, err := meminfo.Numbers(proc, rollup)
		if err != nil || sizes["Pss"] == 0 {
			continue // a thread of the kernel, or ended
		}
		name, _ := fs.ReadFile(proc, dir+"/comm")
		pid, _ := strconv.Atoi(dir)
		all = append(all, Process{PID: pid, Name: strings.TrimSpace(string(name)), AnonKiB: sizes["Anonymous"], FileKiB: sizes["Pss_File"]})
	}
	slices.SortFunc(all, func(a, b Process) int { return cmp.Or(cmp.Compare(b.AnonKiB, a.AnonKiB), cmp.Compare(a.PID, b.PID)) })
	return all, nil
}
