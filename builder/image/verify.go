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
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/authenticode"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// Check is one thing that Verify looked at, or did not look at.
type Check struct {
	Name    string `json:"name"`
	Detail  string `json:"detail,omitempty"`  // what was compared with what
	LeftOut string `json:"leftOut,omitempty"` // what was not looked at, and why; then there is no Detail
	Err     error  `json:"-"`
	Error   string `json:"error,omitempty"`
}

// Line is the check in words: ok stands before what was looked at, and nothing else.
func (c Check) Line() string {
	switch {
	case c.Err != nil:
		return fmt.Sprintf("bad  %s: %v", c.Name, c.Err)
	case c.LeftOut != "":
		return fmt.Sprintf("--   %s: left out: %s", c.Name, c.LeftOut)
	}
	return fmt.Sprintf("ok   %s: %s", c.Name, c.Detail)
}

// verification is a Verify on its way.
type verification struct {
	disk    *Disk
	program func(data []byte) (detail string, err error) // checks a program of the ESP
	fresh   bool                                         // no machine may have booted from it
	beyond  int64                                        // bytes of the disk behind what its table knows of
	entries []Entry
	checks  []Check
}

// Verify checks every signature and every block of a disk. The certificates
// say whose signatures count.
//
// On a disk that no machine has booted, every byte must be the one that the
// builder writes. On another, a machine may have changed what machines of ours
// change, in the ways that they change it; see machine. What is not looked at
// is in the list, with the reason.
//
// The error is about the disk as a whole: it cannot be read, say. What is wrong in
// it stands in the checks.
func (d *Disk) Verify(certs ...*x509.Certificate) ([]Check, error) { return d.verify(false, certs) }

// VerifyWritten is Verify of a disk that an image was written to, and no machine
// has booted: that one has is wrong, too.
func (d *Disk) VerifyWritten(certs ...*x509.Certificate) ([]Check, error) {
	return d.verify(true, certs)
}

func (d *Disk) verify(written bool, certs []*x509.Certificate) ([]Check, error) {
	v := &verification{disk: d, program: func(data []byte) (string, error) { return signature(data, certs) }}
	v.fresh = written || d.Pristine()
	if err := v.cutToTable(); err != nil {
		return nil, err
	}
	v.all()
	return v.checks, nil
}

// cutToTable leaves of a disk that is larger than its table says what the table
// knows of: an image that was written to a disk, or a disk that has grown since.
// The next boot moves the backup of the table to the disk's end.
func (v *verification) cutToTable() error {
	d := v.disk
	size := int64(d.Table.Sectors) * d.Table.SectorSize
	if size >= d.Size {
		return nil
	}
	cut, err := Read(d.from, size)
	if err != nil {
		return err
	}
	v.beyond = d.Size - size
	d.Size, d.Table, d.ESP = cut.Size, cut.Table, cut.ESP
	return nil
}

// all does the checks that a disk allows, in the order of what rests on what.
func (v *verification) all() {
	v.check("disk", v.state)
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
	switch {
	case v.broken():
		v.leaveOut("every other byte", "what is wrong above comes first")
	case v.fresh:
		v.check("every byte", v.everyByte)
	default:
		v.machine()
	}
	if v.beyond > 0 {
		v.leaveOut("disk behind its partition table", "%d bytes that the table does not know of: what the disk held before; the next boot gives them to partition %d", v.beyond, layout.NumState)
	}
}

func (v *verification) check(name string, do func() (string, error)) {
	detail, err := do()
	c := Check{Name: name, Detail: detail, Err: err}
	if err != nil {
		c.Detail, c.Error = "", err.Error()
	}
	v.checks = append(v.checks, c)
}

// leaveOut notes what is not looked at.
func (v *verification) leaveOut(name, format string, args ...any) {
	v.checks = append(v.checks, Check{Name: name, LeftOut: fmt.Sprintf(format, args...)})
}

// broken tells whether something is wrong already. A program that is only not
// signed yet can be compared all the same.
func (v *verification) broken() bool {
	return slices.ContainsFunc(v.checks, func(c Check) bool { return c.Err != nil && !errors.Is(c.Err, authenticode.ErrUnsigned) })
}

// state tells what the disk is held against.
func (v *verification) state() (string, error) {
	if pristine := v.disk.Pristine(); v.fresh && !pristine {
		return "", hint.Add(errors.New("a machine has booted from it, or it was made to look so"), "without --written it is held against what a machine may change")
	}
	if v.fresh {
		return "no machine has booted from it: every byte is to be as ketch build writes it", nil
	}
	return "a machine has booted from it, as it says: every byte is to be as ketch build writes it, but for what a machine changes", nil
}

func (v *verification) table() (string, error) {
	if len(v.disk.Table.Damage) > 0 {
		return "", fmt.Errorf("%s", v.disk.Table.Damage[0])
	}
	return fmt.Sprintf("%d partitions, both copies whole, sectors of %d bytes", len(v.disk.Table.Partitions), v.disk.Table.SectorSize), nil
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
	if len(v.entries) == 1 {
		return "1 boot entry", err
	}
	return fmt.Sprintf("%d boot entries", len(v.entries)), err
}

func (v *verification) slot(e Entry) (string, error) {
	s, err := v.disk.Slot(e.RootHash)
	if err != nil {
		return "", err
	}
	if err := s.Verify(); err != nil {
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
	if want := derive(sha256.Sum256(raw), "verity"); s.Superblock.UUID != want {
		return "", fmt.Errorf("partition %d (%s), block 0: superblock: the UUID is not the one that the content gives", s.VerityNumber, v.disk.Table.Partitions[s.VerityNumber-1].Name)
	}
	return fmt.Sprintf("%s %s in slot %s: %d blocks under root hash %x…", info.Name, info.Version, s.Name, s.UsrSize/layout.BlockSize, e.RootHash[:8]), nil
}

// everyByte makes a fresh disk again, in memory, from what has been verified,
// and compares: what no signature and no hash covers must be as the builder
// writes it.
func (v *verification) everyByte() (string, error) {
	if n := len(v.entries); n != 1 {
		return "", fmt.Errorf("the ESP has %d boot entries; ketch build writes one", n)
	}
	e := v.entries[0]
	_, info, err := v.info(e)
	if err != nil {
		return "", err
	}
	if want := entryPath(info.Version); e.Path != want {
		return "", fmt.Errorf("ESP %s: want it to be called %s", e.Path, want)
	}
	table := v.newTable(info.Version, e.RootHash)
	if err := v.compare(table, e, nil); err != nil {
		return "", err
	}
	return "as the builder writes it", nil
}

// newTable is the builder's table for a disk like this one.
func (v *verification) newTable(version string, root verity.RootHash) *gpt.Table {
	return newTable(version, root, v.disk.Size, v.disk.Table.SectorSize)
}

// info is what a verified slot says of itself.
func (v *verification) info(e Entry) (*release.Slot, *release.Info, error) {
	s, err := v.disk.Slot(e.RootHash)
	if err != nil {
		return nil, nil, err
	}
	info, _, err := s.Info()
	return s, info, err
}

// compare holds the disk against a table, the ESP that the builder would make for
// a version, and zeros. What a slot's hash tree has verified, and the spans to
// skip, are left out.
func (v *verification) compare(table *gpt.Table, e Entry, skip []span) error {
	want := pages{}
	if err := table.Write(want); err != nil {
		return err
	}
	if err := v.writeESP(want, table, e); err != nil {
		return err
	}
	for _, e := range v.entries {
		s, err := v.disk.Slot(e.RootHash)
		if err != nil {
			return err
		}
		usr, hash := v.start(s.UsrNumber), v.start(s.VerityNumber)
		skip = append(skip, span{usr, usr + s.UsrSize}, span{hash, hash + verity.HashSize(s.UsrSize)})
	}
	different, err := firstDifference(v.disk, want, skip)
	if err != nil {
		return err
	}
	if different >= 0 {
		return fmt.Errorf("byte %d, %s: not what the builder writes there", different, v.disk.Describe(different))
	}
	return nil
}

// writeESP writes the ESP as the builder does, from the files that are on the disk.
// Signed ones have been verified; the digests of the others are in image.json.
func (v *verification) writeESP(disk io.WriterAt, table *gpt.Table, e Entry) error {
	_, info, err := v.info(e)
	if err != nil {
		return err
	}
	files, signed, err := v.disk.readESPFiles(info, e.Path)
	if err != nil {
		return err
	}
	at := table.Partitions[layout.NumESP-1].Offset(table.SectorSize)
	return fat.Write(io.NewOffsetWriter(disk, at), espOptions(e.RootHash, table.SectorSize, info.Released, espFiles(info.Version, files, signed)))
}

// start is where a partition starts, in bytes.
func (v *verification) start(number int) int64 {
	return v.disk.Table.Partitions[number-1].Offset(v.disk.Table.SectorSize)
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
