package state

import (
	"errors"
	"fmt"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/internal/guid"
	"github.com/ketch-os/ketch/layout"
)

// random returns 16 random bytes for each new GUID.
type random func() ([16]byte, error)

// find returns the number of the state partition.
func find(table *gpt.Table) (int, error) {
	numbers := table.ByType(gpt.MustParseGUID(layout.TypeState))
	switch len(numbers) {
	case 0:
		return 0, errors.New("the disk has no state partition")
	case 1:
		return numbers[0], nil
	}
	return 0, fmt.Errorf("the disk has %d state partitions: %v", len(numbers), numbers)
}

// espNumber is the number of the ESP; 0: there is none.
func espNumber(table *gpt.Table) int {
	if numbers := table.ByType(gpt.MustParseGUID(layout.TypeESP)); len(numbers) > 0 {
		return numbers[0]
	}
	return 0
}

// formatted tells whether the partition holds a file system.
func formatted(p gpt.Partition) bool { return p.Attributes&layout.AttrStateFormatted != 0 }

// adapt makes the table fit the machine: it ends where the disk ends, and so does
// the state partition. As long as that partition holds nothing, it, the ESP and the
// disk get identifiers of their own, because all copies of an image start with the
// same: by the ESP's, the disk that was booted is known again. The result tells
// whether the table is to be written.
//
// An entry in the firmware's boot menu that names the old ESP finds nothing any
// more. The firmware then starts what lies at the path of removable media (UEFI
// 2.10, 3.5.1), which is where the guard lies.
func adapt(table *gpt.Table, number int, sectors uint64, random random) (changed bool, err error) {
	changed = len(table.Damage) > 0
	if table.Sectors != sectors {
		if err := table.Resize(sectors); err != nil {
			return false, err
		}
		changed = true
	}
	p := &table.Partitions[number-1]
	last := p.Last
	if err := table.Grow(number); err != nil {
		return false, err
	}
	p.Last = max(last, alignDown(p.Last+1, table.SectorSize)-1)
	changed = changed || p.Last != last
	if formatted(*p) {
		return changed, nil
	}
	err = errors.Join(renew(&table.DiskID, random), renew(&p.ID, random))
	if esp := espNumber(table); esp != 0 {
		err = errors.Join(err, renew(&table.Partitions[esp-1].ID, random))
	}
	return true, err
}

// alignDown rounds an end down to where the layout lets partitions end.
func alignDown(end uint64, sectorSize int64) uint64 {
	unit := uint64(layout.Alignment / sectorSize)
	return end / unit * unit
}

// renew makes a random GUID.
func renew(id *gpt.GUID, random random) error {
	b, err := random()
	if err != nil {
		return err
	}
	*id = gpt.UUID(guid.Stamp(b, 4))
	return nil
}
