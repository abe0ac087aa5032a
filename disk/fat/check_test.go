package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// setFAT changes an entry in both FATs.
func setFAT(f *FS, cluster, value uint32) func([]byte) {
	return func(b []byte) {
		for i := range f.fats {
			binary.LittleEndian.PutUint32(b[f.fatOffset(i)+4*int64(cluster):], value)
		}
	}
}

// findEntry returns where the short entry of a name is in the volume.
func findEntry(t *testing.T, f *FS, path string) (entry int64, n *node) {
	t.Helper()
	n, err := f.find("find", path)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, n.parent.length())
	if _, err := (extentReader{f.r, n.parent.extents}).ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, encode(n.entry))
	if at < 0 || len(n.parent.extents) != 1 {
		t.Fatalf("entry of %s not found", path)
	}
	return n.parent.extents[0].Offset + int64(at), n
}

// faults are changes of a volume that holds esp(), each of which breaks it.
func faults(t *testing.T, f *FS) map[string]func([]byte) {
	uki, ukiNode := findEntry(t, f, "EFI/Linux/ketch_0.1.0+3-0.efi")
	loader, loaderNode := findEntry(t, f, "EFI/BOOT/BOOTX64.EFI")
	first := ukiNode.entry.cluster()
	put16 := func(at int64, value uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint16(b[at:], uint16(value)) }
	}
	put32 := func(at int64, value uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], value) }
	}
	const clusLO, fileSize = 26, 28
	return map[string]func([]byte){
		"loop":                setFAT(f, first+3, first),
		"loop of one":         setFAT(f, first+3, first+3),
		"loop of a directory": setFAT(f, rootCluster, rootCluster),
		"chain to free":       setFAT(f, first+3, 0),
		"chain to cluster 1":  setFAT(f, first+3, 1),
		"chain to bad":        setFAT(f, first+3, badCluster),
		"chain beyond":        setFAT(f, first+3, uint32(f.clusters)+2),
		"chain ends early":    setFAT(f, first+3, endOfChain),
		"cross-link":          setFAT(f, first+3, loaderNode.entry.cluster()),
		"two files, one chain": put16(uki+clusLO,
			loaderNode.entry.cluster()),
		"file leads to root":   put16(loader+clusLO, rootCluster),
		"size too large":       put32(uki+fileSize, 500000),
		"size too small":       put32(uki+fileSize, 1000),
		"size zero":            put32(uki+fileSize, 0),
		"lost cluster":         setFAT(f, uint32(f.clusters), endOfChain),
		"FATs differ":          put32(f.fatOffset(1)+4*int64(first), endOfChain),
		"free count":           put32(f.sector+488, 5),
		"not clean":            setFAT(f, 1, 0x07ffffff),
		"backup boot sector":   put32(backupSectorNum*f.sector+67, 5),
		"boot sector":          put32(67, 5),
		"directory's parent":   put16(ukiNode.parent.extents[0].Offset+entrySize+clusLO, 77),
		"name twice":           func(b []byte) { copy(b[loader+entrySize:], b[loader:loader+entrySize]) },
		"file size of a dir":   func(b []byte) { at, _ := findEntry(t, f, "EFI/BOOT"); b[at+fileSize] = 1 },
		"directory without ..": func(b []byte) { b[ukiNode.parent.extents[0].Offset+entrySize] = entryFree },
	}
}

// start is the first bytes of a volume of 33 MiB; the rest is zero.
type start []byte

const startSize = 2 * mib

func (s start) ReadAt(b []byte, offset int64) (int, error) {
	n := max(0, min(int64(len(b)), 33*mib-offset))
	clear(b[:n])
	if offset < int64(len(s)) {
		copy(b[:n], s[offset:])
	}
	if n < int64(len(b)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func smallVolume(t testing.TB) (b start, f *FS) {
	o := Options{Size: 33 * mib, Label: "ESP", Serial: 77, Time: testTime, Files: esp()}
	b = make(start, startSize)
	if err := fixed.ReadAt(newVolume(t, o), b, 0); err != nil {
		t.Fatal(err)
	}
	return b, openVolume(t, b, o.Size)
}

// check is what a careful reader does with a volume.
func check(b start) error {
	f, err := Open(b, 33*mib)
	if err != nil {
		return err
	}
	return f.Check()
}

func TestCheck(t *testing.T) {
	pristine, f := smallVolume(t)
	if err := check(pristine); err != nil {
		t.Fatal(err)
	}
	for name, change := range faults(t, f) {
		b := slices.Clone(pristine)
		change(b)
		if err := check(b); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

func TestBootSectorErrors(t *testing.T) {
	pristine, _ := smallVolume(t)
	for _, test := range []struct {
		at    int
		value []byte
		want  string
	}{
		{510, []byte{0, 0}, "no signature"},
		{11, []byte{0, 0}, "sectors of 0 bytes"},
		{11, []byte{0x80, 0}, "sectors of 128 bytes"},
		{11, []byte{0, 3}, "sectors of 768 bytes"},
		{13, []byte{0}, "clusters of 0 sectors"},
		{13, []byte{3}, "clusters of 3 sectors"},
		{13, []byte{2}, "FAT32 has"},
		{14, []byte{0, 0}, "0 reserved sectors"},
		{16, []byte{0}, "0 FATs"},
		{17, []byte{0, 2}, "not FAT32"},
		{19, []byte{1, 0}, "not FAT32"},
		{22, []byte{1, 0}, "not FAT32"},
		{32, []byte{0, 0, 0, 1}, "of which"},
		{32, []byte{0, 0, 0, 0}, "FAT32 has"},
		{36, []byte{1, 0, 0, 0}, "too small"},
		{36, []byte{255, 255, 255, 255}, "FAT32 has"},
		{40, []byte{0x82, 0}, "number 3 active"},
		{42, []byte{1, 0}, "not FAT32"},
		{44, []byte{0, 0, 0, 0}, "root directory"},
		{44, []byte{255, 255, 255, 15}, "root directory"},
	} {
		b := slices.Clone(pristine)
		copy(b[test.at:], test.value)
		if err := check(b); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("bytes %v at %d: %v; want %q", test.value, test.at, err, test.want)
		}
	}
	if _, err := Open(bytes.NewReader(nil), 33*mib); err == nil {
		t.Error("an empty file opens")
	}
	if _, err := Open(bytes.NewReader(pristine[:100000]), 33*mib); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("a truncated volume opens")
	}
	if _, err := Open(pristine, 33*mib-512); err == nil {
		t.Error("a volume larger than its partition opens")
	}
}

// TestPristine changes one byte after the other: of the metadata, of slack and
// of free space. What passes must have changed a name or a size, which
// the caller of Pristine knows.
func TestPristine(t *testing.T) {
	b, _ := smallVolume(t)
	b = append(b, make([]byte, 31*mib)...)
	f := openVolume(t, b, 33*mib)
	if err := f.Pristine(); err != nil {
		t.Fatal(err)
	}
	before := listing(t, f)
	for _, offset := range places(f) {
		b[offset] ^= 0x10
		changed, err := Open(b, 33*mib)
		if err == nil {
			err = changed.Pristine()
		}
		if err == nil && listing(t, changed) == before {
			t.Errorf("byte %d (%s) can change unnoticed", offset, f.Describe(offset))
		}
		b[offset] ^= 0x10
	}
}

// places are offsets of every area of a volume, but for the content of files.
func places(f *FS) []int64 {
	var list []int64
	add := func(from, to, step int64) {
		for ; from < to; from += step {
			list = append(list, from)
		}
	}
	const used = 820 * 4 // bytes of the FAT that esp() uses, and some more
	add(0, 9*f.sector, 5)
	add(9*f.sector, f.fatOffset(0), 6007)
	add(f.fatOffset(0), f.fatOffset(0)+used, 11)
	add(f.fatOffset(1), f.fatOffset(1)+used, 11)
	add(f.fatOffset(0)+used, f.fatOffset(1), 60013)
	add(f.fatOffset(1)+used, f.dataOffset(), 60013)
	for _, a := range f.areas {
		if a.node.dir {
			add(a.Offset, a.Offset+a.Length, 3)
		} else {
			add(a.Offset+a.node.size, a.Offset+a.Length, 101) // slack
		}
	}
	end := f.areas[len(f.areas)-1]
	add(end.Offset+end.Length, f.size(), 3<<20)
	return append(list, f.size()-1)
}

// listing is every name with its size.
func listing(t *testing.T, f *FS) string {
	var list strings.Builder
	err := fs.WalkDir(f, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintf(&list, "%s %d\n", path, info.Size())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// TestMarks: the attribute of a directory's entry is what a driver may change only
// as long as it is that of a directory that has changed.
func TestMarks(t *testing.T) {
	_, whole := smallVolume(t)
	entry, _ := findEntry(t, whole, "EFI")
	attribute := Extent{entry + 11, 1}
	for value, want := range map[byte]bool{
		attrDir: false, attrDir | attrArchive: true, attrDir | attrReadOnly: false, attrDir | attrArchive | attrReadOnly: false,
	} {
		b, _ := smallVolume(t)
		b[attribute.Offset] = value
		f, err := Open(b, 33*mib)
		if err != nil {
			t.Fatalf("attribute %#x: %v", value, err)
		}
		spans, err := f.Renamed("EFI/Linux")
		if err != nil {
			t.Fatalf("attribute %#x: %v", value, err)
		}
		if got := slices.Contains(spans, attribute); got != want {
			t.Errorf("attribute %#x of a directory may differ: %v; want %v", value, got, want)
		}
	}
}
