package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/ketch-os/ketch/builder/diskfile"
	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/input"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// Disk is an image, or a machine's disk, opened for reading.
type Disk struct {
	Size  int64 // bytes
	Table *gpt.Table
	ESP   *fat.FS
	from  io.ReaderAt
	file  *os.File // what from is, where it is a file of its own
}

// Open opens a disk, in any format that package diskfile knows, and reads its
// partition table and ESP. What has to be unpacked becomes no larger than limit.Default.
func Open(name string) (*Disk, error) { return OpenWithin(name, limit.Default) }

// OpenWithin is Open with another bound, in bytes.
func OpenWithin(name string, most int64) (*Disk, error) {
	f, err := diskfile.Raw(name, most)
	if err != nil {
		return nil, input.Explain(err, input.Image)
	}
	d, err := open(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d.file = f
	return d, nil
}

func open(f *os.File) (*Disk, error) {
	size, err := f.Seek(0, io.SeekEnd) // of a block device, too
	if err != nil {
		return nil, err
	}
	return Read(f, size)
}

// Read reads the partition table and the ESP of a disk of size bytes, which may
// lie in some container. The reader stays the caller's.
func Read(r io.ReaderAt, size int64) (d *Disk, err error) {
	d = &Disk{Size: size, from: r}
	if d.Table, err = gpt.Read(r, size); err != nil {
		return nil, hint.Add(err, "is it an image of Ketch?")
	}
	esp, err := d.partition(layout.NumESP, layout.TypeESP)
	if err != nil {
		return nil, err
	}
	if d.ESP, err = fat.Open(esp, esp.Size()); err != nil {
		return nil, fmt.Errorf("ESP: %w", err)
	}
	return d, nil
}

// Close closes a disk that Open has opened.
func (d *Disk) Close() error { return d.file.Close() }

// partition is the content of a partition that must be of one type.
func (d *Disk) partition(number int, kind string) (*io.SectionReader, error) {
	if number > len(d.Table.Partitions) || d.Table.Partitions[number-1].Type != gpt.MustParseGUID(kind) {
		return nil, fmt.Errorf("partition %d: not of type %s: this is not a disk of Ketch", number, kind)
	}
	return d.section(number), nil
}

func (d *Disk) section(number int) *io.SectionReader {
	p := d.Table.Partitions[number-1]
	return io.NewSectionReader(d.from, p.Offset(d.Table.SectorSize), p.Size(d.Table.SectorSize))
}

// Entry is a boot entry on the ESP: a unified kernel image.
type Entry struct {
	Path     string // on the ESP
	Name     entry.Name
	Data     []byte
	Cmdline  string
	Version  string
	RootHash verity.RootHash
}

// maxUKI bounds what is read into memory.
const maxUKI = 256 * layout.MiB

// Entries reads the boot entries in the order of their names. One that cannot
// be read is an error; those before it are returned.
func (d *Disk) Entries() ([]Entry, error) {
	names, err := fs.Glob(d.ESP, layout.ESPEntries+"/*.efi")
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, name := range names {
		e, err := d.entry(name)
		if err != nil {
			return entries, fmt.Errorf("ESP %s: %w", name, err)
		}
		entries = append(entries, *e)
	}
	return entries, nil
}

func (d *Disk) entry(name string) (*Entry, error) {
	data, err := d.readESP(name)
	if err != nil {
		return nil, err
	}
	e := &Entry{Path: name, Data: data}
	if e.Name, err = entry.Parse(path.Base(name)); err != nil {
		return nil, err
	}
	sections, err := uki.Parse(data)
	if err != nil {
		return nil, err
	}
	e.Cmdline = sections.Cmdline
	e.Version, _ = parameter(e.Cmdline, layout.ParamVersion)
	e.RootHash, err = rootHash(e.Cmdline)
	return e, err
}

func (d *Disk) readESP(name string) ([]byte, error) {
	info, err := fs.Stat(d.ESP, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxUKI {
		return nil, fmt.Errorf("%d bytes are too many", info.Size())
	}
	return fs.ReadFile(d.ESP, name)
}

// parameter returns the value of the first occurrence of key: the one that counts.
func parameter(cmdline, key string) (value string, ok bool) {
	for _, field := range strings.Fields(cmdline) {
		if name, value, found := strings.Cut(field, "="); found && name == key {
			return value, true
		}
	}
	return "", false
}

func rootHash(cmdline string) (verity.RootHash, error) {
	value, _ := parameter(cmdline, layout.ParamUsrHash)
	root, err := verity.ParseRootHash(value)
	if err != nil {
		return root, fmt.Errorf("command line: %s: %w", layout.ParamUsrHash, err)
	}
	return root, nil
}

// Slot finds the slot with a root hash.
func (d *Disk) Slot(root verity.RootHash) (*release.Slot, error) {
	return release.ReadSlot(d.from, d.Table, root)
}

// Pristine tells whether no machine has booted from the disk yet: the first
// boot is counted in the boot record, and marks the state partition.
func (d *Disk) Pristine() bool {
	return len(d.Table.Partitions) == layout.NumState && d.Table.Partitions[layout.NumState-1].Attributes&layout.AttrStateFormatted == 0 && !d.started()
}

var errNoEntry = errors.New("the ESP has no boot entry in " + layout.ESPEntries)
