package fat

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// FS is a FAT32 volume that was opened for reading. Names are found as FAT finds
// them, whatever their case. It may be used by several goroutines at once if the
// reader below may.
type FS struct {
	Label  string // of the root directory, empty if there is none
	Serial uint32

	geometry
	r         io.ReaderAt
	boot      bootSector
	first     int64 // the FAT to follow, from 0
	root      *node
	used      *bitmap // clusters that the tree holds
	areas     []area  // every extent of every node, in the order of the volume
	labelTime time.Time
}

// node is a file or directory of an opened volume.
type node struct {
	name     string
	parent   *node // nil for the root
	pathLen  int   // bytes
	entry    shortEntry
	dir      bool
	size     int64
	extents  []Extent
	children []*node          // sorted by name
	byName   map[string]*node // by folded name
}

// Extent is a run of bytes of the volume.
type Extent struct {
	Offset int64
	Length int64
}

// maxPath bounds a path in bytes, with a NUL at its end as Linux counts, and
// with it the depth of the tree.
const maxPath = 4096

// path returns the names from the root to n.
func (n *node) path() string {
	if n.parent == nil || n.parent.parent == nil {
		return n.name
	}
	return n.parent.path() + "/" + n.name
}

// area is an extent and whose it is.
type area struct {
	Extent
	node *node
}

// Open reads the directories and the chains of all files of a volume of size
// bytes. Every bound is checked, and no cluster may be reached twice, so what
// Open takes in memory and time is bounded by the volume's FAT and directories.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	f := &FS{r: r}
	if err := f.readBootSector(size); err != nil {
		return nil, fmt.Errorf("open FAT32 volume: boot sector: %w", err)
	}
	f.Serial = f.boot.VolID
	f.used = newBitmap(f.clusters + 2)
	f.root = &node{dir: true}
	if err := f.readTree(); err != nil {
		return nil, fmt.Errorf("open FAT32 volume: %w", err)
	}
	slices.SortFunc(f.areas, func(a, b area) int { return cmp.Compare(a.Offset, b.Offset) })
	return f, nil
}

// readBootSector reads the geometry and checks it as fatgen103 says of each field.
func (f *FS) readBootSector(size int64) error {
	raw := make([]byte, 512)
	if err := fixed.ReadAt(f.r, raw, 0); err != nil {
		return err
	}
	b := &f.boot
	decode(raw, b)
	f.geometry = geometry{
		sector:     int64(b.BytsPerSec),
		cluster:    int64(b.BytsPerSec) * int64(b.SecPerClus),
		sectors:    int64(b.TotSec32),
		reserved:   int64(b.RsvdSecCnt),
		fats:       int64(b.NumFATs),
		fatSectors: int64(b.FATSz32),
	}
	if b.ExtFlags&0x80 != 0 { // the FATs are not mirrored, one is active
		f.first = int64(b.ExtFlags & 0x0f)
	}
	powerOfTwo := func(n int64) bool { return n > 0 && n&(n-1) == 0 }
	switch {
	case b.Signature != bootSignature:
		return errors.New("no signature")
	case f.sector < 512 || f.sector > 4096 || !powerOfTwo(f.sector):
		return fmt.Errorf("sectors of %d bytes", f.sector)
	case !powerOfTwo(f.cluster):
		return fmt.Errorf("clusters of %d sectors", b.SecPerClus)
	case b.RootEntCnt != 0 || b.TotSec16 != 0 || b.FATSz16 != 0 || b.FSVer != 0:
		return errors.New("not FAT32")
	case f.reserved == 0 || f.fats == 0 || f.first >= f.fats:
		return fmt.Errorf("%d reserved sectors, %d FATs, number %d active", f.reserved, f.fats, f.first+1)
	case f.size() > size:
		return fmt.Errorf("volume of %d bytes, of which %d are there", f.size(), size)
	}
	f.geometry = f.withClusters()
	switch {
	case f.clusters < minClusters || f.clusters > maxClusters:
		return fmt.Errorf("%d clusters: FAT32 has %d to %d", f.clusters, minClusters, maxClusters)
	case f.fatSectors*f.sector < 4*(f.clusters+2):
		return fmt.Errorf("FAT of %d sectors is too small for %d clusters", f.fatSectors, f.clusters)
	}
	return nil
}

// readTree reads directory after directory. Each is reached once, because its clusters are.
func (f *FS) readTree() error {
	if err := f.claim(f.root, f.boot.RootClus, -1); err != nil {
		return fmt.Errorf("root directory: %w", err)
	}
	for queue := []*node{f.root}; len(queue) > 0; queue = queue[1:] {
		dir := queue[0]
		if err := f.readDirectory(dir); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		for _, child := range dir.children {
			if err := f.claimEntry(child); err != nil {
				return fmt.Errorf("%s: %w", child, err)
			}
			if child.dir {
				queue = append(queue, child)
			}
		}
	}
	return nil
}

// claimEntry finds the clusters of a file or directory by its entry.
func (f *FS) claimEntry(n *node) error {
	first := n.entry.cluster()
	switch {
	case n.dir && n.entry.FileSize != 0:
		return fmt.Errorf("directory with a file size of %d", n.entry.FileSize)
	case n.dir:
		return f.claim(n, first, -1)
	case n.size == 0 && first == 0:
		return nil
	}
	return f.claim(n, first, f.clustersFor(n.size))
}

// claim follows a chain from cluster first and gives its clusters to n: exactly
// want of them, or, for a directory, which has no size, any number up to the
// largest directory.
func (f *FS) claim(n *node, first uint32, want int64) error {
	limit := want
	if want < 0 {
		limit = max(1, maxDirEntries*entrySize/f.cluster)
	}
	table := fatReader{FS: f}
	count := int64(0)
	for cluster := first; cluster < minEndOfChain; count++ {
		switch {
		case !f.valid(cluster):
			return fmt.Errorf("cluster %d of the chain has number %#x", count+1, cluster)
		case count == limit:
			return fmt.Errorf("the chain goes on after %d clusters", limit)
		case !f.used.add(int64(cluster)):
			return fmt.Errorf("cluster %#x is used twice", cluster)
		}
		n.extend(Extent{f.clusterOffset(cluster), f.cluster})
		var err error
		if cluster, err = table.entry(cluster); err != nil {
			return err
		}
	}
	switch {
	case count == 0:
		return fmt.Errorf("its first cluster is %#x", first)
	case count < want:
		return fmt.Errorf("the chain ends after %d of %d clusters", count, want)
	}
	for _, e := range n.extents {
		f.areas = append(f.areas, area{e, n})
	}
	return nil
}

// extend adds an extent, or lengthens the last one.
func (n *node) extend(e Extent) {
	if last := len(n.extents) - 1; last >= 0 && n.extents[last].Offset+n.extents[last].Length == e.Offset {
		n.extents[last].Length += e.Length
		return
	}
	n.extents = append(n.extents, e)
}

// String names the node as errors do.
func (n *node) String() string {
	switch {
	case n.parent == nil:
		return "root directory"
	case n.dir:
		return "directory " + n.path()
	}
	return "file " + n.path()
}

// fatReader reads entries of the FAT, a page at a time.
type fatReader struct {
	*FS
	page   [4096]byte
	offset int64 // of page in the FAT
	length int64 // of the valid part of page
}

// entry returns what follows a valid cluster in its chain.
func (t *fatReader) entry(cluster uint32) (uint32, error) {
	at := 4 * int64(cluster)
	if at < t.offset || at >= t.offset+t.length {
		t.offset = at / int64(len(t.page)) * int64(len(t.page))
		t.length = min(int64(len(t.page)), t.fatSectors*t.sector-t.offset)
		if err := fixed.ReadAt(t.r, t.page[:t.length], t.fatOffset(t.first)+t.offset); err != nil {
			t.length = 0
			return 0, fmt.Errorf("read FAT: %w", err)
		}
	}
	return binary.LittleEndian.Uint32(t.page[at-t.offset:]) & entryMask, nil
}

// readDirectory decodes the entries of a directory into its children.
func (f *FS) readDirectory(dir *node) error {
	raw := make([]byte, dir.length())
	if err := fixed.ReadAt(extentReader{f.r, dir.extents}, raw, 0); err != nil {
		return err
	}
	dir.byName = make(map[string]*node)
	var long []longEntry
	for ; len(raw) > 0 && raw[0] != entryEnd; raw = raw[entrySize:] {
		var e shortEntry
		decode(raw, &e)
		if e.Name[0] != entryFree && e.Attr&attrLongMask == attrLong {
			var l longEntry
			decode(raw, &l)
			if l.Ord&lastLong != 0 {
				long = long[:0]
			}
			long = append(long, l)
			continue
		}
		if err := f.addEntry(dir, e, long); err != nil {
			return err
		}
		long = long[:0]
	}
	slices.SortFunc(dir.children, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// addEntry adds what a short entry, and the long ones before it, describe.
func (f *FS) addEntry(dir *node, e shortEntry, long []longEntry) error {
	switch {
	case e.Name[0] == entryFree:
		return nil
	case e.Attr&attrVolumeID != 0:
		if dir == f.root {
			f.Label, f.labelTime = e.Name.label(), stamp{e.WrtDate, e.WrtTime}.moment()
		}
		return nil
	case dir != f.root && (e.Name == dot || e.Name == dotDot):
		return nil // Check looks at them
	}
	name, ok := longName(long, e.Name)
	if !ok {
		name = e.Name.text(e.NTRes)
	}
	return dir.attach(&node{name: name, entry: e, dir: e.Attr&attrDir != 0, size: int64(e.FileSize)})
}

// attach adds a child whose name is possible and new.
func (n *node) attach(child *node) error {
	child.parent, child.pathLen = n, n.pathLen+1+len(child.name)
	switch {
	case !canRead(child.name):
		return fmt.Errorf("no file can have the name %q", child.name)
	case n.byName[fold(child.name)] != nil:
		return fmt.Errorf("name %q appears twice", child.name)
	case child.pathLen > maxPath:
		return fmt.Errorf("name %q: the path is longer than %d bytes", child.name, maxPath-1)
	}
	n.byName[fold(child.name)] = child
	n.children = append(n.children, child)
	return nil
}

// length returns the bytes of all clusters of the node.
func (n *node) length() int64 {
	var sum int64
	for _, e := range n.extents {
		sum += e.Length
	}
	return sum
}

// modTime returns when the node was written.
func (n *node) modTime() time.Time { return stamp{n.entry.WrtDate, n.entry.WrtTime}.moment() }

// bitmap is a set of clusters.
type bitmap struct{ words []uint64 }

func newBitmap(n int64) *bitmap { return &bitmap{make([]uint64, (n+63)/64)} }

func (b *bitmap) has(i int64) bool { return b.words[i/64]&(1<<(i%64)) != 0 }

// add reports false if i was there already.
func (b *bitmap) add(i int64) bool {
	had := b.has(i)
	b.words[i/64] |= 1 << (i % 64)
	return !had
}
