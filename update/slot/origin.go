package slot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/internal/pace"
	"github.com/ketch-os/ketch/linux/blockdev"
)

// Origin is where the boot loader came from, as far as that is known.
type Origin struct {
	ESP       gpt.GUID // unique GUID of the partition that it came from; zero: it does not tell
	CountPath string   // LoaderBootCountPath; empty: it counts no tries of this entry
	Disk      string   // the disk, once it is found
}

// is tells whether a disk is the one that the boot loader came from.
func (o Origin) is(name string, table *gpt.Table) bool {
	if o.Disk != "" {
		return name == o.Disk
	}
	return !o.ESP.IsZero() && table.ByID(o.ESP) != 0
}

// TwinsError tells that several disks may be the one that was booted, and that
// nothing tells them apart: one is a copy of the other.
type TwinsError struct{ Disks []string }

func (e *TwinsError) Error() string {
	return fmt.Sprintf("the disks %s are copies of one another: it cannot be told which of them was booted; take one away", strings.Join(e.Disks, " and "))
}

// Find looks for the disk that the boot loader came from until it is there or limit
// is over. A copy of it carries the same GUIDs. Then the one is meant on whose ESP
// the boot loader has counted the try of this start; where that does not tell,
// either, the error is a *TwinsError.
func (o Origin) Find(limit time.Duration) (disk string, err error) {
	for began := time.Now(); ; time.Sleep(pace.Pause(time.Since(began))) {
		disks, err := holders(o.ESP)
		switch {
		case err != nil:
			return "", err
		case len(disks) == 1:
			return disks[0].Name, nil
		case len(disks) > 1:
			return o.among(disks)
		case time.Since(began) > limit:
			return "", fmt.Errorf("no disk has partition %s within %v", o.ESP, limit)
		}
	}
}

// holders are the disks that have a partition of this unique GUID.
func holders(partition gpt.GUID) (found []blockdev.Disk, err error) {
	disks, err := blockdev.Disks()
	for _, disk := range disks {
		if table, err := readTable(disk); err == nil && table.ByID(partition) != 0 {
			found = append(found, disk)
		}
	}
	return found, err
}

// among takes from disks of the same GUIDs the one that was booted.
func (o Origin) among(disks []blockdev.Disk) (name string, err error) {
	twins := &TwinsError{}
	var counted []string
	for _, disk := range disks {
		twins.Disks = append(twins.Disks, disk.Name)
		if o.countedOn(disk) {
			counted = append(counted, disk.Name)
		}
	}
	if len(counted) != 1 {
		return "", twins
	}
	return counted[0], nil
}

// countedOn tells whether the boot loader has counted the try of this start on a
// disk: the booted entry has its new name there.
func (o Origin) countedOn(disk blockdev.Disk) bool {
	f, err := os.Open(blockdev.Path(disk.Name))
	if err != nil {
		return false
	}
	defer f.Close()
	table, err := gpt.Read(f, disk.Size)
	return err == nil && o.countedIn(f, table)
}

func (o Origin) countedIn(disk io.ReaderAt, table *gpt.Table) bool {
	number := table.ByID(o.ESP)
	path := strings.TrimPrefix(strings.ReplaceAll(o.CountPath, `\`, "/"), "/")
	if number == 0 || path == "" {
		return false
	}
	p := table.Partitions[number-1]
	size := p.Size(table.SectorSize)
	esp, err := fat.Open(io.NewSectionReader(disk, p.Offset(table.SectorSize), size), size)
	if err != nil {
		return false
	}
	info, err := fs.Stat(esp, path)
	return err == nil && info.Mode().IsRegular()
}

// Alone returns nil if no other disk has the ESP of this one, or the boot loader's
// word tells them apart, and a *TwinsError otherwise. A disk may have come late.
func (o Origin) Alone(disk string) error {
	id, err := espOf(disk)
	if err != nil {
		return err
	}
	disks, err := holders(id)
	if err != nil || len(disks) < 2 {
		return err
	}
	name, err := Origin{ESP: id, CountPath: o.CountPath}.among(disks)
	if err == nil && name != disk {
		err = fmt.Errorf("the machine was booted from disk %s, and runs from %s", name, disk)
	}
	return err
}

// espOf is the unique GUID of a disk's ESP.
func espOf(name string) (id gpt.GUID, err error) {
	disks, err := blockdev.Disks()
	if err != nil {
		return id, err
	}
	for _, disk := range disks {
		if disk.Name != name {
			continue
		}
		table, err := readTable(disk)
		if err != nil {
			return id, fmt.Errorf("%s: %w", name, err)
		}
		if number := findESP(table, ""); number != 0 {
			return table.Partitions[number-1].ID, nil
		}
		return id, errors.New("disk " + name + " has no ESP")
	}
	return id, fmt.Errorf("disk %s is gone", name)
}
