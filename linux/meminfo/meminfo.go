// Package meminfo reads how much memory there is and how much is left.
package meminfo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/ketch-os/ketch/api/pid1"
)

// Path is the kernel's file.
const Path = "/proc/meminfo"

// Read reads the file at a path, Path but in tests.
func Read(path string) (*pid1.Memory, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read memory in use: %w", err)
	}
	defer f.Close()
	m, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("read memory in use: %s: %w", path, err)
	}
	return m, nil
}

// parse reads lines as "MemTotal:  491692 kB" (proc_meminfo(5)).
func parse(r io.Reader) (*pid1.Memory, error) {
	var m pid1.Memory
	wanted := map[string]*int64{"MemTotal": &m.TotalKiB, "MemAvailable": &m.AvailableKiB}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		to := wanted[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, " kB")), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		*to = n
		delete(wanted, name)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(wanted) > 0 {
		return nil, errors.New("MemTotal or MemAvailable is missing")
	}
	m.UsedKiB = m.TotalKiB - m.AvailableKiB
	return &m, nil
}
