// Package slot is what a running machine has of versions: the pairs of partitions
// that hold them, and their boot entries. PID 1 uses it, and so does whatever
// updates the machine.
//
//	slot.go     the partitions, usr and its hash tree, that a root hash names
//	            (UAPI.2: their UUIDs are its two halves), among all disks
//	origin.go   which disk the boot loader came from
//	esp.go      the ESP, and the names of the boot entries on it
//	entries.go  new boot entries, and those that go
//	loader.go   what the boot loader tells, and what it can be asked
//
// There are two ways to ask the boot loader for an entry. The name of the entry's
// file on the ESP says whether it is good, on trial, or out of tries (UAPI.1, "Boot
// counting"). And the EFI variable LoaderEntryOneShot names the entry of the next
// start, whatever its counter says (systemd.io/BOOT_LOADER_INTERFACE). Either may
// be out of reach: an ESP that cannot be written, firmware that keeps no variables.
//
// systemd-boot 252 identifies an entry by its file's name, counter and all, in
// small letters. It takes LoaderEntryOneShot away before it looks for the entry,
// and goes on in its usual order when there is none.
package slot

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/internal/pace"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/blockdev"
	"github.com/ketch-os/ketch/update/release"
)

// Slot is a pair of partitions on one disk.
type Slot struct {
	Disk              string // "vda"
	Name              string // "A" or "B"; empty: its partitions are not those of a slot
	Usr, Hash         string // device nodes
	UsrSize, HashSize int64  // bytes
	Booted            bool   // the boot loader came from this disk
	Copies            int    // how many other disks hold the same
}

// Wait looks for the slot until it is there or limit is over. The disk that the
// boot loader came from is preferred, and waited for: others may hold the same
// version. Only when the limit is over another disk will do.
func Wait(root verity.RootHash, from Origin, limit time.Duration) (Slot, error) {
	began := time.Now()
	deadline := began.Add(limit)
	var seen []blockdev.Disk
	var found []Slot
	var faults []error
	for {
		disks, err := blockdev.Disks()
		if err != nil {
			return Slot{}, err
		}
		// Tables are read again only when a disk or a partition has appeared.
		if !same(disks, seen) {
			found, faults = scan(disks, root, from)
			seen = disks
		}
		if slot, ok := choose(found, from, time.Now().After(deadline)); ok {
			return slot, nil
		}
		if time.Now().After(deadline) {
			return Slot{}, missing(disks, root, faults, limit)
		}
		time.Sleep(pace.Pause(time.Since(began)))
	}
}

// same compares what decides whether a slot can be found.
func same(a, b []blockdev.Disk) bool {
	return slices.EqualFunc(a, b, func(x, y blockdev.Disk) bool {
		return x.Name == y.Name && x.Size == y.Size && len(x.Partitions) == len(y.Partitions)
	})
}

// choose takes the slot of the booted disk. Where the boot loader does not say
// which disk that is, or the time is over, it takes the first.
func choose(found []Slot, from Origin, over bool) (Slot, bool) {
	for i := range found {
		found[i].Copies = len(found) - 1
	}
	for _, slot := range found {
		if slot.Booted {
			return slot, true
		}
	}
	if len(found) > 0 && (from.ESP.IsZero() || over) {
		return found[0], true
	}
	return Slot{}, false
}

// scan looks at every disk. The faults of those that cannot be read are for the
// error of a search that finds nothing.
func scan(disks []blockdev.Disk, root verity.RootHash, from Origin) (found []Slot, faults []error) {
	for _, disk := range disks {
		table, err := readTable(disk)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", disk.Name, err))
		} else if slot, ok := match(table, disk, root, from); ok {
			found = append(found, slot)
		}
	}
	return found, faults
}

func readTable(disk blockdev.Disk) (*gpt.Table, error) {
	f, err := os.Open(blockdev.Path(disk.Name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return gpt.Read(f, disk.Size)
}

// Node returns the device of a partition of a disk, for partitions other than a
// slot's. find gives its number.
func Node(name string, find func(*gpt.Table) int) (string, error) {
	disks, err := blockdev.Disks()
	if err != nil {
		return "", err
	}
	for _, disk := range disks {
		if disk.Name != name {
			continue
		}
		table, err := readTable(disk)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if node := disk.Partitions[find(table)]; node != "" {
			return blockdev.Path(node), nil
		}
		return "", fmt.Errorf("%s has no such partition", name)
	}
	return "", fmt.Errorf("disk %s is gone", name)
}

// match finds the slot in one table. Both partitions must have their nodes, and
// the types that go with their use: a root hash does not make any partition fit
// to be read.
func match(table *gpt.Table, disk blockdev.Disk, root verity.RootHash, from Origin) (Slot, bool) {
	usrID, hashID := release.SlotIDs(root)
	usr, hash := table.ByID(usrID), table.ByID(hashID)
	if usr == 0 || hash == 0 || disk.Partitions[usr] == "" || disk.Partitions[hash] == "" {
		return Slot{}, false
	}
	arch := native()
	u, h := table.Partitions[usr-1], table.Partitions[hash-1]
	if u.Type.String() != arch.Usr || h.Type.String() != arch.UsrVerity {
		return Slot{}, false
	}
	return Slot{
		Disk:     disk.Name,
		Name:     release.SlotName(usr, hash),
		Usr:      blockdev.Path(disk.Partitions[usr]),
		Hash:     blockdev.Path(disk.Partitions[hash]),
		UsrSize:  u.Size(table.SectorSize),
		HashSize: h.Size(table.SectorSize),
		Booted:   from.is(disk.Name, table),
	}, true
}

// native is the layout of the architecture this PID 1 was built for.
func native() layout.Arch {
	if runtime.GOARCH == layout.ARM64.Name {
		return layout.ARM64
	}
	return layout.AMD64
}

// missing says what was looked for and where.
func missing(disks []blockdev.Disk, root verity.RootHash, faults []error, limit time.Duration) error {
	var names []string
	for _, disk := range disks {
		names = append(names, disk.Name)
	}
	usr, hash := release.SlotIDs(root)
	return fmt.Errorf("no disk has partitions %s and %s within %v (disks: %v, faults: %v)", usr, hash, limit, names, faults)
}
