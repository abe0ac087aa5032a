// Package meminfo tells how much memory a machine was given and how much is in
// use, in the one way that everything of Ketch counts it (docs/memory.md).
package meminfo

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Memory is a machine's memory, in KiB.
type Memory struct {
	GivenKiB     int64 // what the firmware left for the kernel: "System RAM" of /proc/iomem
	AvailableKiB int64 // MemAvailable: the kernel's estimate of what a new program could get
}

// UsedKiB is what is in use: what was given and is not available.
func (m Memory) UsedKiB() int64 { return m.GivenKiB - m.AvailableKiB }

// Read reads a /proc. The kernel shows addresses to root alone. For others
// MemTotal must do for what was given; it lacks what the kernel took first.
func Read(proc fs.FS) (Memory, error) {
	m, err := read(proc)
	if err != nil {
		return Memory{}, fmt.Errorf("read memory in use: %w", err)
	}
	return m, nil
}

func read(proc fs.FS) (Memory, error) {
	all, err := Numbers(proc, "meminfo")
	if err != nil {
		return Memory{}, err
	}
	m := Memory{GivenKiB: all["MemTotal"], AvailableKiB: all["MemAvailable"]}
	if m.GivenKiB == 0 || m.AvailableKiB == 0 {
		return Memory{}, errors.New("meminfo: MemTotal or MemAvailable is missing")
	}
	switch ram, _, err := RAM(proc); {
	case err == nil:
		m.GivenKiB = ram
	case !errors.Is(err, fs.ErrPermission):
		return Memory{}, err
	}
	return m, nil
}

// Numbers reads a file of lines as "MemTotal:  491692 kB" (proc_meminfo(5)).
func Numbers(proc fs.FS, name string) (map[string]int64, error) {
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
	return all, nil
}

// RAM reads how much memory the kernel was given, and what its image takes, in
// KiB. The error is fs.ErrPermission where the kernel shows no addresses, as to
// others than root.
func RAM(proc fs.FS) (given, image int64, err error) {
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
			given += (last + 1 - first) / 1024
		case "Kernel code", "Kernel rodata", "Kernel data", "Kernel bss":
			image += (last + 1 - first) / 1024
		}
	}
	if given == 0 && lines.Err() == nil {
		return 0, 0, fmt.Errorf("read iomem: it shows no addresses: %w", fs.ErrPermission)
	}
	return given, image, lines.Err()
}
