package image

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"ketch/disk/fat"
	"ketch/disk/verity"
	"ketch/efi/authenticode"
	"ketch/layout"
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
	certs   []*x509.Certificate
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
	v := &verification{disk: d, certs: certs}
	v.check("partition table", v.table)
	v.check("ESP file system", v.esp)
	v.check("ESP "+layout.AMD64.BootLoader, v.bootLoader)
	v.check("ESP "+layout.ESPEntries, v.readEntries)
	for _, e := range v.entries {
		v.check("ESP "+e.Path, func() (string, error) { return v.signature(e.Data) })
		v.check("slot of "+e.Name.ID, func() (string, error) { return v.slot(e) })
	}
	if d.Pristine() && len(v.entries) == 1 && !v.failed() {
		v.check("every byte", func() (string, error) { return v.everyByte(v.entries[0]) })
	}
	return v.checks, nil
}

func (v *verification) check(name string, do func() (string, error)) {
	detail, err := do()
	c := Check{Name: name, Detail: detail, Err: err}
	if err != nil {
		c.Error = err.Error()
	}
	v.checks = append(v.checks, c)
}

func (v *verification) failed() bool {
	return slices.ContainsFunc(v.checks, func(c Check) bool { return c.Err != nil })
}

func (v *verification) table() (string, error) {
	if len(v.disk.Table.Damage) > 0 {
		return "", fmt.Errorf("%s", v.disk.Table.Damage[0])
	}
	return fmt.Sprintf("%d partitions, both copies whole", len(v.disk.Table.Partitions)), nil
}

func (v *verification) esp() (string, error) { return "consistent", v.disk.ESP.Check() }

func (v *verification) bootLoader() (string, error) {
	data, err := v.disk.readESP(layout.AMD64.BootLoader)
	if err != nil {
		return "", err
	}
	return v.signature(data)
}

func (v *verification) signature(data []byte) (string, error) {
	if err := authenticode.Verify(data, v.certs...); err != nil {
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
	files, err := v.espFiles(info)
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

// espFiles reads the files of the ESP in the order in which the builder writes
// them. Signed ones have been verified; the digests of the others are in info.
func (v *verification) espFiles(info *Info) ([]fat.File, error) {
	var files []fat.File
	for _, name := range sortedESP(info.ESP) {
		data, err := v.disk.readESP(name)
		if err != nil {
			return nil, fmt.Errorf("ESP %s: %w", name, err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != info.ESP[name] {
			return nil, fmt.Errorf("ESP %s: SHA-256 is %s, want %s", name, got, info.ESP[name])
		}
		files = append(files, fatFile(name, data))
	}
	loader, err := v.disk.readESP(layout.AMD64.BootLoader)
	if err != nil {
		return nil, err
	}
	files = append(files, fatFile(layout.AMD64.BootLoader, loader))
	name := path.Join(layout.ESPEntries, firstEntry(info.Version).File())
	if v.entries[0].Path != name {
		return nil, fmt.Errorf("ESP %s: want it to be called %s", v.entries[0].Path, name)
	}
	return append(files, fatFile(name, v.entries[0].Data)), nil
}

// Describe names the place of a byte on the disk: partition, and file or area in it.
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
	switch {
	case at < layout.Alignment:
		return "primary partition table"
	case at >= d.Size-layout.Alignment:
		return "backup partition table"
	}
	return "between the partitions"
}
