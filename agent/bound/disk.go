package bound

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/quota"
)

const (
	// fullPercent is how much of a file system may be in use before somebody should
	// know.
	fullPercent = 85
	// keepPercent is the part of it that workloads cannot take: for logs, images and
	// the machine's own state.
	keepPercent = 20
	// mostPercent is the part of the rest that one of them may take.
	mostPercent = 75
	// firstProject is the number of the first project; those below are nobody's.
	firstProject = 1 << 16
)

// Disk bounds the writable layers of workloads, each a project of the file system
// they are on. All fields are needed.
type Disk struct {
	Path string // of the file system: /var

	mu       sync.Mutex
	projects map[string]uint32 // by workload
	faults   map[string]error  // by workload: why it has no project
}

// Bound bounds the writable layer of a workload: the directory of a snapshot, whose
// name is a number that no other ever gets. One that cannot be bounded runs all the
// same: Problems tells.
func (d *Disk) Bound(name, snapshot string) {
	id, err := assign(snapshot)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.projects == nil {
		d.projects, d.faults = map[string]uint32{}, map[string]error{}
	}
	delete(d.projects, name)
	delete(d.faults, name)
	if err != nil {
		d.faults[name] = err
		return
	}
	d.projects[name] = id
	if err := d.share(); err != nil {
		d.faults[name] = err
	}
}

// assign makes a snapshot a project of its own.
func assign(snapshot string) (id uint32, err error) {
	number, err := strconv.ParseUint(filepath.Base(snapshot), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s is no snapshot", snapshot)
	}
	id = firstProject + uint32(number)
	return id, quota.Assign(snapshot, id)
}

// Share gives each workload its part of what is free now.
func (d *Disk) Share() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.share()
}

// share gives each workload what it has and an even part of what is free, less
// what is kept. So all of them together never reach what is kept, whoever writes
// between two looks. d.mu is held.
func (d *Disk) share() error {
	if len(d.projects) == 0 {
		return nil
	}
	space, err := statfs(d.Path)
	if err != nil {
		return err
	}
	var faults []error
	for _, id := range d.projects {
		use, err := quota.Read(d.Path, id)
		if err == nil {
			n := int64(len(d.projects))
			use.BytesLimit = part(use.Bytes, space.bytes, space.freeBytes, n)
			use.InodesLimit = part(use.Inodes, space.inodes, space.freeInodes, n)
			err = quota.Limit(d.Path, id, use)
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// part is what one of n workloads may have that has some already. It is never 0,
// which would be no limit.
func part(has, total, free, n int64) int64 {
	kept := total / 100 * keepPercent
	more := max(free-kept, 0) / n
	most := (total - kept) / 100 * mostPercent
	return max(min(has+more, most), 1)
}

// Full tells whether a workload is at its limits, or as near as makes no difference.
func (d *Disk) Full(name string) bool {
	use, err := d.use(name)
	return err == nil && len(full(name, use)) > 0
}

// Bytes is what a workload has of the disk; 0 where that cannot be told.
func (d *Disk) Bytes(name string) int64 {
	use, _ := d.use(name)
	return use.Bytes
}

func (d *Disk) use(name string) (quota.Use, error) {
	d.mu.Lock()
	id, ok := d.projects[name]
	d.mu.Unlock()
	if !ok {
		return quota.Use{}, fmt.Errorf("workload %s has no project", name)
	}
	return quota.Read(d.Path, id)
}

// Room is what should be free of a file system: a part of it in percent, or so many
// bytes and inodes where that is less.
type Room struct{ Percent, Bytes, Inodes int64 }

// Has tells whether there is room. A file system that cannot be asked has.
func (d *Disk) Has(r Room) bool {
	s, err := statfs(d.Path)
	return err != nil || s.has(r)
}

func (s space) has(r Room) bool {
	return s.freeBytes >= min(s.bytes*r.Percent/100, r.Bytes) && s.freeInodes >= min(s.inodes*r.Percent/100, r.Inodes)
}

// Problems says what is full: the file system, and which workloads may not write
// any more.
func (d *Disk) Problems() (problems []string) {
	space, err := statfs(d.Path)
	if err != nil {
		return []string{err.Error()}
	}
	problems = space.problems(d.Path)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.faults)) {
		if errors.Is(d.faults[name], quota.ErrNone) {
			problems = append(problems, d.Path+": the file system was made without project quotas: workloads may fill it")
			break
		}
		problems = append(problems, fmt.Sprintf("bound writable layer of workload %s: %v", name, d.faults[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(d.projects)) {
		use, err := quota.Read(d.Path, d.projects[name])
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		problems = append(problems, full(name, use)...)
	}
	return problems
}

// full says whether a workload is at its limits, or as near as makes no difference.
func full(name string, use quota.Use) (problems []string) {
	if use.BytesLimit > 0 && use.Bytes >= use.BytesLimit/100*95 {
		problems = append(problems, fmt.Sprintf("workload %s: its writable layer has %d MiB and may have no more", name, use.Bytes>>20))
	}
	if use.InodesLimit > 0 && use.Inodes >= use.InodesLimit/100*95 {
		problems = append(problems, fmt.Sprintf("workload %s: its writable layer has %d files and may have no more", name, use.Inodes))
	}
	return problems
}

// space is what a file system has, and what of it is free.
type space struct{ bytes, freeBytes, inodes, freeInodes int64 }

func statfs(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, os.NewSyscallError("statfs "+path, err)
	}
	return space{int64(s.Blocks) * s.Frsize, int64(s.Bavail) * s.Frsize, int64(s.Files), int64(s.Ffree)}, nil
}

func (s space) problems(path string) (problems []string) {
	if percent := used(s.bytes, s.freeBytes); percent >= fullPercent {
		problems = append(problems, fmt.Sprintf("%s is full to %d %%", path, percent))
	}
	if percent := used(s.inodes, s.freeInodes); percent >= fullPercent {
		problems = append(problems, fmt.Sprintf("%s: %d %% of all inodes are in use", path, percent))
	}
	return problems
}

// used is how much is in use, in percent; 0 where nothing is counted.
func used(total, free int64) int64 {
	if total == 0 {
		return 0
	}
	return 100 - free*100/total
}
