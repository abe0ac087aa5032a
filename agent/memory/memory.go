// Package memory tells where a machine's memory goes, from /proc
// (proc_meminfo(5), proc_pid_smaps(5), Documentation/admin-guide/mm).
//
// What is in use is the memory given to the machine less MemAvailable, the
// kernel's own estimate of what a new program could get: pages of files count as
// available, but for what the kernel holds back to work at all. The rows of a
// Table add up to that, by the last of them, which is whatever is left.
package memory

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Table is where memory goes. Sizes are KiB.
type Table struct {
	GivenKiB     int64     `json:"givenKiB"`     // what the firmware left for the kernel: "System RAM" of /proc/iomem
	AvailableKiB int64     `json:"availableKiB"` // MemAvailable
	UsedKiB      int64     `json:"usedKiB"`      // their difference
	Rows         []Row     `json:"rows"`         // add up to UsedKiB
	Processes    []Process `json:"processes"`    // largest first
}

// Row is one use of memory.
type Row struct {
	Name string `json:"name"`
	KiB  int64  `json:"kib"`
	Note string `json:"note,omitempty"`
}

// Process is one process that has memory of its own.
type Process struct {
	PID     int    `json:"pid"`
	Name    string `json:"name"`
	AnonKiB int64  `json:"anonKiB"` // its own: heap, stacks, changed data
	FileKiB int64  `json:"fileKiB"` // its share of mapped files, which counts as available
}

// Read makes the table from a /proc.
func Read(proc fs.FS) (*Table, error) {
	info, err := numbers(proc, "meminfo")
	if err != nil {
		return nil, err
	}
	ram, image, err := iomem(proc)
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
	t := &Table{GivenKiB: ram, AvailableKiB: info["MemAvailable"], UsedKiB: ram - info["MemAvailable"], Processes: processes}
	files := info["Active(file)"] + info["Inactive(file)"]
	structs := ram / 4 * structPage / 1024
	t.Rows = []Row{
		{"kernel image", image, "code, constants, data"},
		{"page descriptors", structs, fmt.Sprintf("%d bytes for each page", structPage)},
		{"kernel, taken while it started", ram - info["MemTotal"] - image - structs, "hash tables, first per-processor areas"},
		{"slab, not reclaimable", info["SUnreclaim"], "kernel objects"},
		{"vmalloc", vmalloc, "drivers, BPF"},
		{"kernel stacks", info["KernelStack"], ""},
		{"page tables", info["PageTables"] + info["SecPageTables"], ""},
		{"per-processor areas", info["Percpu"], ""},
		{"anonymous memory of processes", info["AnonPages"], "the list below"},
		{"files in memory", info["Shmem"], "tmpfs and shared memory"},
		{"held back", info["MemFree"] + files + info["SReclaimable"] - info["MemAvailable"], "what the kernel keeps free, or takes for pages in use"},
	}
	left := t.UsedKiB
	for _, row := range t.Rows {
		left -= row.KiB
	}
	t.Rows = append(t.Rows, Row{"the rest", left, "pages of drivers and of the network; inexactness of the above"})
	return t, nil
}

// structPage is sizeof(struct page) in Linux 6.1 on 64-bit machines.
const structPage = 64

// numbers reads lines as "MemTotal:  491692 kB".
func numbers(proc fs.FS, name string) (map[string]int64, error) {
	text, err := fs.ReadFile(proc, name)
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
			all[key] = n
		}
	}
	if name == "meminfo" && (all["MemTotal"] == 0 || all["MemAvailable"] == 0) {
		return nil, errors.New("read meminfo: the kernel tells too little")
	}
	return all, nil
}

// iomem reads how much memory the kernel was given, and what its image takes, in
// KiB. To others than root the kernel shows no addresses.
func iomem(proc fs.FS) (ram, image int64, err error) {
	f, err := proc.Open("iomem")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		addresses, name, _ := strings.Cut(lines.Text(), " : ")
		var first, last int64
		if _, err := fmt.Sscanf(strings.TrimSpace(addresses), "%x-%x", &first, &last); err != nil {
			return 0, 0, fmt.Errorf("read iomem: %q: %w", lines.Text(), err)
		}
		if last == 0 { // hidden
			continue
		}
		switch name {
		case "System RAM":
			ram += (last + 1 - first) / 1024
		case "Kernel code", "Kernel rodata", "Kernel data", "Kernel bss":
			image += (last + 1 - first) / 1024
		}
	}
	if ram == 0 && lines.Err() == nil {
		return 0, 0, fmt.Errorf("read iomem: it shows no addresses: %w", fs.ErrPermission)
	}
	return ram, image, lines.Err()
}

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
		sizes, err := numbers(proc, rollup)
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
