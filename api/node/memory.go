package node

// MemoryTable is the answer to GET /v1/memory: where the machine's memory goes, as
// docs/memory.md explains. Sizes are KiB.
type MemoryTable struct {
	GivenKiB     int64           `json:"givenKiB"`     // what the firmware left for the kernel: "System RAM" of /proc/iomem
	AvailableKiB int64           `json:"availableKiB"` // MemAvailable
	UsedKiB      int64           `json:"usedKiB"`      // their difference
	Rows         []MemoryRow     `json:"rows"`         // add up to UsedKiB
	Processes    []ProcessMemory `json:"processes"`    // largest first
}

// MemoryRow is one use of memory.
type MemoryRow struct {
	Name string `json:"name"`
	KiB  int64  `json:"kib"`
	Note string `json:"note,omitempty"`
}

// ProcessMemory is one process that has memory of its own.
type ProcessMemory struct {
	PID     int    `json:"pid"`
	Name    string `json:"name"`
	AnonKiB int64  `json:"anonKiB"` // its own: heap, stacks, changed data
	FileKiB int64  `json:"fileKiB"` // its share of mapped files, which counts as available
}
