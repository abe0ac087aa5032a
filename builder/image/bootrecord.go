package image

import (
	"fmt"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/layout"
)

// BootRecord reads and checks the machine's boot record. That of an image which
// no machine has booted is empty.
func (d *Disk) BootRecord() (*bootrecord.Record, error) {
	partition, err := d.partition(layout.NumBoot, layout.TypeBoot)
	if err != nil {
		return nil, err
	}
	r, err := bootrecord.Verify(partition, partition.Size())
	if err != nil {
		return nil, fmt.Errorf("partition %d (%s): %w", layout.NumBoot, d.Table.Partitions[layout.NumBoot-1].Name, err)
	}
	return r, nil
}

// started tells whether a machine has counted a start, or something else has
// been written where it would.
func (d *Disk) started() bool {
	r, err := d.BootRecord()
	return err != nil || r.Generation > 0
}

func (v *verification) bootRecord() (string, error) {
	r, err := v.disk.BootRecord()
	if err != nil {
		return "", err
	}
	if r.Generation == 0 {
		return "empty", nil
	}
	return fmt.Sprintf("generation %d, %d versions", r.Generation, len(r.Versions)), nil
}
