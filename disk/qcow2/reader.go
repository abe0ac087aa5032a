package qcow2

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// What a reader meets besides, in table entries ("Cluster mapping").
const (
	offsetMask = 0x00fffffffffffe00
	flagZero   = 1       // of an L2 entry, version 3: the cluster reads as zeros
	maxL1      = 4 << 20 // entries: QEMU takes no larger table either
)

// Reader reads the disk in a file: an io.ReaderAt of Header.Size bytes. It keeps
// one table and one cluster in memory, and may be used by several goroutines.
type Reader struct {
	Header    Header
	Extension Extension

	file io.ReaderAt
	l1   []uint64

	lock    sync.Mutex
	tableAt uint64 // place of table in the file; 0: none is loaded
	table   []uint64
	diskAt  int64 // place of cluster on the disk; -1: none is loaded
	cluster []byte
}

// Open opens a file of size bytes. What the disk's content needs besides the file
// is refused: a backing file, a key, a feature unknown here.
func Open(file io.ReaderAt, size int64) (*Reader, error) {
	h, x, err := ReadHeader(file, size)
	if err != nil {
		return nil, err
	}
	switch {
	case h.BackingFileOffset != 0:
		return nil, errors.New("open qcow2: the disk needs a backing file")
	case h.CryptMethod != 0:
		return nil, errors.New("open qcow2: the disk is encrypted")
	case x.IncompatibleFeatures != 0:
		return nil, fmt.Errorf("open qcow2: incompatible features %#x", x.IncompatibleFeatures)
	case h.L1Size > maxL1:
		return nil, fmt.Errorf("open qcow2: L1 table of %d entries", h.L1Size)
	}
	d := &Reader{Header: h, Extension: x, file: file, diskAt: -1, l1: make([]uint64, h.L1Size)}
	if err := d.readTable(d.l1, h.L1TableOffset); err != nil {
		return nil, fmt.Errorf("open qcow2: L1 table: %w", err)
	}
	return d, nil
}

func (d *Reader) readTable(table []uint64, at uint64) error {
	b := make([]byte, 8*len(table))
	if err := fixed.ReadAt(d.file, b, int64(at)); err != nil {
		return err
	}
	decode(b, table)
	return nil
}

// ReadAt implements io.ReaderAt.
func (d *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	size := int64(d.Header.Size)
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	if int64(len(p)) > size-off {
		p, err = p[:size-off], io.EOF
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	for n < len(p) {
		more, err := d.readInCluster(p[n:], off+int64(n))
		if err != nil {
			return n, fmt.Errorf("read qcow2 disk at %d: %w", off+int64(n), err)
		}
		n += more
	}
	return n, err
}

// readInCluster fills p up to the end of the cluster that off is in.
func (d *Reader) readInCluster(p []byte, off int64) (int, error) {
	size := int64(1) << d.Header.ClusterBits
	in := off % size
	p = p[:min(int64(len(p)), size-in)]
	entry, err := d.entry(uint64(off / size))
	switch {
	case err != nil:
		return 0, err
	case entry&flagCompressed != 0:
		if err := d.inflate(entry, off-in); err != nil {
			return 0, err
		}
		copy(p, d.cluster[in:])
	case entry&offsetMask == 0, entry&flagZero != 0:
		clear(p)
	default:
		return len(p), fixed.ReadAt(d.file, p, int64(entry&offsetMask)+in)
	}
	return len(p), nil
}

// entry is the L2 entry of a cluster of the disk; 0 stands for zeros.
func (d *Reader) entry(cluster uint64) (uint64, error) {
	perTable := uint64(1) << d.Header.ClusterBits / 8
	at := d.l1[cluster/perTable] & offsetMask
	if at == 0 {
		return 0, nil
	}
	if at != d.tableAt {
		d.tableAt = 0
		d.table = make([]uint64, perTable)
		if err := d.readTable(d.table, at); err != nil {
			return 0, fmt.Errorf("L2 table at %d: %w", at, err)
		}
		d.tableAt = at
	}
	return d.table[cluster%perTable], nil
}

// inflate makes the compressed cluster of an L2 entry, which starts at diskAt on
// the disk, the one in memory ("Compressed Clusters Descriptor").
func (d *Reader) inflate(entry uint64, diskAt int64) error {
	if d.diskAt == diskAt {
		return nil
	}
	offsetBits := 62 - (d.Header.ClusterBits - 8)
	at := entry & (1<<offsetBits - 1)
	sectors := entry&(flagCompressed-1)>>offsetBits + 1
	length := int64(sectors*sectorSize - at%sectorSize)
	if d.cluster == nil {
		d.cluster = make([]byte, 1<<d.Header.ClusterBits)
	}
	d.diskAt = -1
	z := flate.NewReader(io.NewSectionReader(d.file, int64(at), length))
	if _, err := io.ReadFull(z, d.cluster); err != nil {
		return fmt.Errorf("compressed cluster at byte %d of the file: %w", at, err)
	}
	d.diskAt = diskAt
	return nil
}

// Clusters counts the clusters that hold data: those that are compressed, and the others.
func (d *Reader) Clusters() (compressed, plain int, err error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	perTable := uint64(1) << d.Header.ClusterBits / 8
	for cluster := uint64(0); cluster < uint64(len(d.l1))*perTable; cluster++ {
		if cluster%perTable == 0 && d.l1[cluster/perTable]&offsetMask == 0 {
			cluster += perTable - 1 // nothing in this table
			continue
		}
		entry, err := d.entry(cluster)
		switch {
		case err != nil:
			return 0, 0, err
		case entry&flagCompressed != 0:
			compressed++
		case entry&offsetMask != 0 && entry&flagZero == 0:
			plain++
		}
	}
	return compressed, plain, nil
}
