package qcow2

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"

	"github.com/ketch-os/ketch/disk/raw"
)

// Bits of table entries ("Cluster mapping").
const (
	flagCopied     = 1 << 63 // the refcount is exactly one
	flagCompressed = 1 << 62

	sectorSize   = 512
	sectorsShift = 62 - (clusterBits - 8) // of a compressed cluster's descriptor
)

// window is how far deflate looks back, in bytes: QEMU inflates with 12 bits.
const window = 1 << 12

// Write writes the disk to w, where nothing is yet, as Version2 or Version3.
func Write(ctx context.Context, w io.WriterAt, disk *raw.Disk, version uint32) error {
	if version != Version2 && version != Version3 {
		return fmt.Errorf("write qcow2: version %d: want 2 or 3", version)
	}
	if disk.Size > maxDisk {
		return fmt.Errorf("write qcow2: a disk of %d bytes is too large", disk.Size)
	}
	f := newFile(w, disk.Size, version)
	if err := disk.Chunks(ctx, ClusterSize, compressor, f.add); err != nil {
		return fmt.Errorf("write qcow2: %w", err)
	}
	if err := f.finish(); err != nil {
		return fmt.Errorf("write qcow2: %w", err)
	}
	return nil
}

// compressor makes an encoder that deflates a cluster (RFC 1951, no wrapping),
// or leaves it as it is when that makes it no smaller.
func compressor() raw.Encoder {
	z, err := flate.NewWriterWindow(io.Discard, window)
	if err != nil {
		panic(err) // the window is a constant that it takes
	}
	return func(dst, data []byte) ([]byte, error) {
		cluster := data[:ClusterSize]
		out := bytes.NewBuffer(dst)
		z.Reset(out)
		if _, err := z.Write(cluster); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		if out.Len() >= ClusterSize {
			return append(out.Bytes()[:0], cluster...), nil
		}
		return out.Bytes(), nil
	}
}

// file is a file being written: clusters are given out from its start on.
type file struct {
	w         io.WriterAt
	version   uint32
	diskSize  int64
	refcounts []uint16 // of the clusters given out
	packed    int64    // where the next compressed cluster may go: behind the last one
	l1        []uint64
	l2        []uint64 // the table being filled
	l2Index   int      // its place in l1
	l2Used    bool
}

func newFile(w io.WriterAt, size int64, version uint32) *file {
	f := &file{w: w, version: version, diskSize: size, l2: make([]uint64, entriesPerTable)}
	f.l1 = make([]uint64, divideUp(size, ClusterSize*entriesPerTable))
	f.allocate(1 + f.l1Clusters())
	return f
}

func (f *file) l1Clusters() int64 { return divideUp(int64(len(f.l1)), entriesPerTable) }

// allocate gives out n clusters in a row, each with one reference, and returns their offset.
func (f *file) allocate(n int64) int64 {
	offset := f.end()
	for range n {
		f.refcounts = append(f.refcounts, 1)
	}
	return offset
}

func (f *file) end() int64 { return int64(len(f.refcounts)) * ClusterSize }

// add takes the next cluster of the disk.
func (f *file) add(c raw.Chunk) error {
	number := c.Offset / ClusterSize
	if index := int(number / entriesPerTable); index != f.l2Index {
		if err := f.flushL2(); err != nil {
			return err
		}
		f.l2Index = index
	}
	place := f.place
	if len(c.Encoded) == ClusterSize {
		place = func(int64) (int64, uint64) {
			offset := f.allocate(1)
			return offset, uint64(offset) | flagCopied
		}
	}
	offset, descriptor := place(int64(len(c.Encoded)))
	f.l2[number%entriesPerTable], f.l2Used = descriptor, true
	_, err := f.w.WriteAt(c.Encoded, offset)
	return err
}

// place finds room for a compressed cluster of n bytes and describes it
// ("Compressed Clusters Descriptor"). It goes on where the last one ended if it
// fits there: into what is left of that cluster, and of the next one if that is
// still to be given out.
func (f *file) place(n int64) (offset int64, descriptor uint64) {
	last := alignUp(f.packed, ClusterSize) // the end of the cluster that packed is in
	if f.packed+n > last && last != f.end() || f.packed == last {
		f.packed, last = f.end(), f.end()
	}
	offset = f.packed
	first := offset / ClusterSize
	if offset%ClusterSize != 0 {
		f.refcounts[first]++ // shared with the compressed cluster before
	}
	f.packed += n
	if f.packed > last {
		f.allocate(1)
	}
	additional := (f.packed-1)/sectorSize - offset/sectorSize
	return offset, flagCompressed | uint64(additional)<<sectorsShift | uint64(offset)
}

// flushL2 writes the L2 table being filled, if it maps anything, and starts a new one.
func (f *file) flushL2() error {
	if !f.l2Used {
		return nil
	}
	offset := f.allocate(1)
	f.l1[f.l2Index] = uint64(offset) | flagCopied
	_, err := f.w.WriteAt(encode(f.l2), offset)
	clear(f.l2)
	f.l2Used = false
	return err
}

// finish writes the tables that are known now, and the header last.
func (f *file) finish() error {
	if err := f.flushL2(); err != nil {
		return err
	}
	table, tableClusters, err := f.writeRefcounts()
	if err != nil {
		return err
	}
	if _, err := f.w.WriteAt(encode(f.l1), ClusterSize); err != nil {
		return err
	}
	header := Header{
		Magic: magic, Version: f.version, ClusterBits: clusterBits, Size: uint64(f.diskSize),
		L1Size: uint32(len(f.l1)), L1TableOffset: ClusterSize,
		RefcountTableOffset: uint64(table), RefcountTableClusters: uint32(tableClusters),
	}
	b := encode(header)
	if f.version == Version3 {
		b = append(b, encode(Extension{RefcountOrder: refcountOrder, HeaderLength: headerSize + extensionSize})...)
	}
	// No header extension follows: their end is a zero, as is the rest of the cluster.
	_, err = f.w.WriteAt(b, 0)
	return err
}

// writeRefcounts writes the refcount blocks and behind them their table, both
// of which count themselves.
func (f *file) writeRefcounts() (table, tableClusters int64, err error) {
	blocks := int64(0)
	for used := int64(len(f.refcounts)); blocks*refcountsPer < used+blocks+tableClusters; {
		blocks = divideUp(used+blocks+tableClusters, refcountsPer)
		tableClusters = divideUp(blocks, entriesPerTable)
	}
	first := f.allocate(blocks)
	table = f.allocate(tableClusters)
	counts := make([]uint16, blocks*refcountsPer)
	copy(counts, f.refcounts)
	if _, err := f.w.WriteAt(encode(counts), first); err != nil {
		return 0, 0, err
	}
	entries := make([]uint64, tableClusters*entriesPerTable)
	for i := range blocks {
		entries[i] = uint64(first + i*ClusterSize)
	}
	_, err = f.w.WriteAt(encode(entries), table)
	return table, tableClusters, err
}

func divideUp(n, by int64) int64 { return (n + by - 1) / by }

func alignUp(n, to int64) int64 { return divideUp(n, to) * to }
