package image

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/authenticode"
	"github.com/ketch-os/ketch/layout"
)

// Check is one thing that Verify looked at.
type Check struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	Err    error  `json:"-"`
	Error  string `json:"error,omitempty"`
}

// verification is a Verify on its way.
type verification struct {
	disk    *Disk
	program func(data []byte) (detail string, err error) // checks a program of the ESP
	entries []Entry
	checks  []Check
}

// Verify checks every signature and every block of a disk. The certificates
// say whose signatures count. On an image that no machine has booted, every
// byte must be the one that the builder writes; on a machine's disk, what the
// machine may change (state, boot counters) is left out.
//
// The error is about the disk as a whole: it could not be opened, say. What is
// wrong in it stands in the checks.
func Verify(name string, certs ...*x509.Certificate) ([]Check, error) {
	d, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	v := &verification{disk: d, program: func(data []byte) (string, error) { return signature(data, certs) }}
	v.all()
	return v.checks, nil
}

// all does the checks that a disk allows.
func (v *verification) all() {
	v.check("partition table", v.table)
	v.check("ESP file system", v.esp)
	for _, p := range loaders() {
		v.check("ESP "+p.name, func() (string, error) { return v.loader(p.name) })
	}
	v.check("ESP "+layout.ESPEntries, v.readEntries)
	for _, e := range v.entries {
		v.check("ESP "+e.Path, func() (string, error) { return v.program(e.Data) })
		v.check("slot of "+e.Name.ID, func() (string, error) { return v.slot(e) })
	}
	v.check("boot record", v.bootRecord)
	if v.disk.Pristine() && len(v.entries) == 1 && !v.broken() {
		v.check("every byte", func() (string, error) { return v.everyByte(v.entries[0]) })
	}
}

func (v *verification) check(name string, do func() (string, error)) {
	detail, err := do()
	c := Check{Name: name, Detail: detail, Err: err}
	if err != nil {
		c.Error = err.Error()
	}
	v.checks = append(v.checks, c)
}

// broken tells whether something is wrong already. A program that is only not
// signed yet can be compared all the same.
func (v *verification) broken() bool {
	return slices.ContainsFunc(v.checks, func(c Check) bool { return c.Err != nil && !errors.Is(c.Err, authenticode.ErrUnsigned) })
}

func (v *verification) table() (string, error) {
	if len(v.disk.Table.Damage) > 0 {
		return "", fmt.Errorf("%s", v.disk.Table.Damage[0])
	}
	return fmt.Sprintf("%d partitions, both copies whole", len(v.disk.Table.Partitions)), nil
}

func (v *verification) esp() (string, error) { return "consistent", v.disk.ESP.Check() }

func (v *verification) loader(name string) (string, error) {
	data, err := v.disk.readESP(name)
	if err != nil {
		return "", err
	}
	return v.program(data)
}

// signature checks a signed program.
func signature(data []byte, certs []*x509.Certificate) (string, error) {
	if err := authenticode.Verify(data, certs...); err != nil {
		if errors.Is(err, authenticode.ErrUnsigned) {
			err = hint.Add(err, "what ketch build --unsigned wrote is completed by: ketch sign")
		}
		return "", err
	}
	// Authenticode leaves out the checksum and the padding: they have one right value.
	if err := authenticode.Canonical(data); err != nil {
		return "", err
	}
	return "signed, and unchanged since", nil
}

func (v *verification) readEntries() (detail string, err error) {
	v.entries, err = v.disk.Entries()
	if err == nil && len(v.entries) == 0 {
		err = errNoEntry
	}
	return fmt.Sprintf("%d boot entries", len(v.entries)), err
}

func (v *verification) slot(e Entry) (string, error) {
	s, err := v.disk.Slot(e.RootHash)
	if err != nil {
		return "", err
	}
	if err := verity.Verify(io.NewSectionReader(s.Usr, 0, s.UsrSize), s.Hash, e.RootHash); err != nil {
		var corrupt *verity.CorruptError
		if errors.As(err, &corrupt) {
			number := map[string]int{"data": s.UsrNumber, "hash": s.VerityNumber}[corrupt.Area]
			return "", fmt.Errorf("partition %d (%s) of slot %s, block %d: %w", number, v.disk.Table.Partitions[number-1].Name, s.Name, corrupt.Block, err)
		}
		return "", err
	}
	info, raw, err := s.Info()
	if err != nil {
		return "", err
	}
	if want := derive(sha256.Sum256(raw), "verity"); s.superblock.UUID != want {
		return "", fmt.Errorf("partition %d (%s), block 0: superblock: the UUID is not the one that the content gives", s.VerityNumber, v.disk.Table.Partitions[s.VerityNumber-1].Name)
	}
	return fmt.Sprintf("%s %s in slot %s: %d blocks under root hash %x…", info.Name, info.Version, s.Name, s.UsrSize/layout.BlockSize, e.RootHash[:8]), nil
}

// everyByte makes the disk again, in memory, from what has been verified, and
// compares: what no signature and no hash covers must be as the builder writes it.
func (v *verification) everyByte(e Entry) (string, error) {
	d := v.disk
	s, err := d.Slot(e.RootHash)
	if err != nil {
		return "", err
	}
	info, _, err := s.Info()
	if err != nil {
		return "", err
	}
	want := pages{}
	table := newTable(info.Version, e.RootHash, d.Size)
	if err := table.Write(want); err != nil {
		return "", err
	}
	files, err := v.readESP(info)
	if err != nil {
		return "", err
	}
	at := table.Partitions[layout.NumESP-1].Offset(sectorSize)
	if err := fat.Write(io.NewOffsetWriter(want, at), espOptions(e.RootHash, info.Released, files)); err != nil {
		return "", err
	}
	usr, hash := table.Partitions[layout.NumUsrA-1].Offset(sectorSize), table.Partitions[layout.NumVerityA-1].Offset(sectorSize)
	verified := []span{{usr, usr + s.UsrSize}, {hash, hash + verity.HashSize(s.UsrSize)}}
	different, err := firstDifference(d.file, d.Size, want, verified)
	if err != nil {
		return "", err
	}
	if different >= 0 {
		return "", fmt.Errorf("byte %d, %s: not what the builder writes there", different, d.Describe(different))
	}
	return "as the builder writes it", nil
}

// readESP reads the files of the ESP in the order in which the builder writes
// them. Signed ones have been verified; the digests of the others are in info.
func (v *verification) readESP(info *Info) ([]fat.File, error) {
	if want := entryPath(info.Version); v.entries[0].Path != want {
		return nil, fmt.Errorf("ESP %s: want it to be called %s", v.entries[0].Path, want)
	}
	files, signed, err := v.disk.readESPFiles(info)
	if err != nil {
		return nil, err
	}
	return espFiles(info.Version, files, signed), nil
}

// Describe names the place of a byte on the disk: a part of the partition table,
// or partition, and file or area in it.
func (d *Disk) Describe(at int64) string {
	for i, p := range d.Table.Partitions {
		start := p.Offset(d.Table.SectorSize)
		if !p.Used() || at < start || at >= start+p.Size(d.Table.SectorSize) {
			continue
		}
		place := fmt.Sprintf("partition %d (%s)", i+1, p.Name)
		if i+1 == layout.NumESP {
			return place + ", " + d.ESP.Describe(at-start)
		}
		return fmt.Sprintf("%s, block %d", place, (at-start)/layout.BlockSize)
	}
	return d.Table.Describe(at)
}
