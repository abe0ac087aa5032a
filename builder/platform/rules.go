package platform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/layout"
)

// multipleOf is the rule about the size of the disk.
func multipleOf(unit int64) func(*Artefact) (string, error) {
	return func(a *Artefact) (string, error) {
		if over := a.Size % unit; over != 0 || a.Size == 0 {
			return "", fmt.Errorf("the disk has %d bytes, %d more than a multiple of %s", a.Size, over, size(unit))
		}
		return fmt.Sprintf("%s, a multiple of %s", size(a.Size), size(unit)), nil
	}
}

func size(n int64) string {
	if n%layout.GiB == 0 {
		return fmt.Sprintf("%d GiB", n/layout.GiB)
	}
	return fmt.Sprintf("%d MiB", n/layout.MiB)
}

// wholeTable is the rule that both copies of the partition table are valid, the
// backup in the last block of the disk (UEFI 2.10, 5.3.2).
func wholeTable(a *Artefact) (string, error) {
	if a.tableErr != nil {
		return "", a.tableErr
	}
	if len(a.table.Damage) > 0 {
		return "", errors.New(strings.Join(a.table.Damage, "; "))
	}
	return fmt.Sprintf("both copies, the backup ends at the disk's end, block %d", a.table.Sectors-1), nil
}

// mbrRecord is the first partition record of the MBR (UEFI 2.10, table 5.4).
type mbrRecord struct {
	_           [4]byte // 446
	OSType      byte    // 450
	_           [3]byte // 451
	StartingLBA uint32  // 454
	SizeInLBA   uint32  // 458
}

const (
	mbrRecordAt    = 446
	typeProtective = 0xee
)

// protectiveMBR is the rule that the MBR covers the disk, as far as 32 bits
// reach, and no more (UEFI 2.10, table 5.4). Some partition tools write all ones, and some
// platforms take that for a disk of 2 TiB.
func protectiveMBR(a *Artefact) (string, error) {
	if a.tableErr != nil {
		return "", errNoTable
	}
	var r mbrRecord
	if err := binary.Read(io.NewSectionReader(a.Disk, mbrRecordAt, int64(binary.Size(r))), binary.LittleEndian, &r); err != nil {
		return "", err
	}
	want := uint32(min(a.Size/a.table.SectorSize-1, 0xffffffff))
	if r.OSType != typeProtective || r.StartingLBA != 1 || r.SizeInLBA != want {
		return "", fmt.Errorf("byte %d: type %#x, start %d, size %d; want %#x, 1, %d", mbrRecordAt, r.OSType, r.StartingLBA, r.SizeInLBA, typeProtective, want)
	}
	return fmt.Sprintf("covers %d blocks", want), nil
}

// aligned is the rule about where partitions start and end.
func aligned(a *Artefact) (string, error) {
	if a.tableErr != nil {
		return "", errNoTable
	}
	for i, p := range a.table.Partitions {
		start := p.Offset(a.table.SectorSize)
		if end := start + p.Size(a.table.SectorSize); p.Used() && (start%layout.Alignment != 0 || end%layout.Alignment != 0) {
			return "", fmt.Errorf("partition %d (%s): bytes %d to %d; want multiples of %d", i+1, p.Name, start, end, layout.Alignment)
		}
	}
	return fmt.Sprintf("every partition at multiples of %d MiB", layout.Alignment/layout.MiB), nil
}

// sectorsOf is the rule about what the partition table counts in.
func sectorsOf(want int64) func(*Artefact) (string, error) {
	return func(a *Artefact) (string, error) {
		switch {
		case a.tableErr != nil:
			return "", errNoTable
		case a.table.SectorSize != want:
			return "", fmt.Errorf("the partition table is for sectors of %d bytes; want %d", a.table.SectorSize, want)
		}
		return fmt.Sprintf("%d bytes", want), nil
	}
}

// bootLoader is the rule that firmware finds a program on a disk that it
// sees for the first time (UEFI 2.10, 3.5.1.1).
func bootLoader(a *Artefact) (string, error) {
	if a.imageErr != nil {
		return "", a.imageErr
	}
	info, err := fs.Stat(a.image.ESP, layout.AMD64.Guard)
	if err != nil {
		return "", fmt.Errorf("ESP: %w", err)
	}
	return fmt.Sprintf("%s is there, %d KiB", layout.AMD64.Guard, info.Size()/layout.KiB), nil
}

// bootEntries is the rule that the boot loader finds a kernel image.
func bootEntries(a *Artefact) (string, error) {
	var names []string
	err := a.eachEntry(func(e image.Entry) error {
		names = append(names, e.Path)
		return nil
	})
	return strings.Join(names, ", ") + ": there, with a kernel image of ours in it", err
}

// eachEntry calls do for every boot entry, of which there must be one, and puts
// the entry's name before the error.
func (a *Artefact) eachEntry(do func(image.Entry) error) error {
	if a.imageErr != nil {
		return a.imageErr
	}
	entries, err := a.image.Entries()
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("ESP: no kernel image in %s", layout.ESPEntries)
	}
	for _, e := range entries {
		if err := do(e); err != nil {
			return fmt.Errorf("ESP %s: %w", e.Path, err)
		}
	}
	return nil
}

// consoles is the rule about the command line's consoles: these, in this order,
// and no others. The last is /dev/console. One that is given without options may have any.
func consoles(want ...string) func(*Artefact) (string, error) {
	return func(a *Artefact) (string, error) {
		err := a.eachEntry(func(e image.Entry) error {
			got := values(e.Cmdline, "console")
			if !slices.EqualFunc(got, want, sameConsole) {
				return fmt.Errorf("command line: console= %q; want %q", got, want)
			}
			return nil
		})
		return strings.Join(want, " "), err
	}
}

func sameConsole(got, want string) bool {
	if !strings.Contains(want, ",") {
		got, _, _ = strings.Cut(got, ",")
	}
	return got == want
}

// values lists what a parameter is set to, each time.
func values(cmdline, key string) (all []string) {
	for _, field := range strings.Fields(cmdline) {
		if name, value, _ := strings.Cut(field, "="); name == key {
			all = append(all, value)
		}
	}
	return all
}

// parameter is the rule that the command line has a parameter, and no other value for it.
func parameter(want string) func(*Artefact) (string, error) {
	key, value, _ := strings.Cut(want, "=")
	return func(a *Artefact) (string, error) {
		err := a.eachEntry(func(e image.Entry) error {
			if got := values(e.Cmdline, key); len(got) != 1 || got[0] != value {
				return fmt.Errorf("command line: %s= %q; want %s once", key, got, want)
			}
			return nil
		})
		return want, err
	}
}

// noDebugShell is the rule that the image lacks the layer that gives anybody who
// reaches the console a root shell.
func noDebugShell(a *Artefact) (string, error) {
	err := a.eachEntry(func(e image.Entry) error {
		slot, err := a.image.Slot(e.RootHash)
		if err != nil {
			return err
		}
		usr, err := slot.FS()
		if err != nil {
			return err
		}
		if err := lacksDebugDaemon(usr); err != nil {
			return fmt.Errorf("slot %s: %w", slot.Name, err)
		}
		return nil
	})
	return "no " + layout.DebugDaemon, err
}

func lacksDebugDaemon(usr fs.FS) error {
	_, err := fs.Stat(usr, strings.TrimPrefix(layout.DebugDaemon, "/usr/"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for %s: %w", layout.DebugDaemon, err)
	}
	return fmt.Errorf("%s is there; leave the debug layer out of the definition", layout.DebugDaemon)
}
