package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

const mib = 1 << 20

var testTime = time.Date(2026, 11, 22, 13, 14, 16, 0, time.UTC)

// newVolume writes a volume into a sparse file.
func newVolume(t testing.TB, o Options) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "volume"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(o.Size); err != nil {
		t.Fatal(err)
	}
	if err := Write(file, o); err != nil {
		t.Fatal(err)
	}
	return file
}

func openVolume(t testing.TB, r io.ReaderAt, size int64) *FS {
	t.Helper()
	f, err := Open(r, size)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pattern makes content that is the same at no two clusters.
func pattern(size int, seed uint64) []byte {
	b := make([]byte, size)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], random.Uint64())
	}
	return b
}

// esp is what an EFI system partition of ours holds, scaled down.
func esp() []File {
	return []File{
		{Path: "EFI/BOOT/BOOTX64.EFI", Data: pattern(93184, 1)},
		{Path: "EFI/Linux/ketch_0.1.0+3-0.efi", Data: pattern(300001, 2)},
		{Path: "loader/loader.conf", Data: []byte("timeout 0\neditor no\n")},
		{Path: "loader/keys/auto/PK.auth", Data: pattern(2000, 3)},
		{Path: "loader/keys/auto/KEK.auth", Data: pattern(2001, 4)},
		{Path: "loader/keys/auto/db.auth", Data: pattern(2002, 5)},
	}
}

// many is a directory of several clusters.
func many() []File {
	var files []File
	for i := range 300 {
		files = append(files, File{Path: fmt.Sprintf("many/a rather long name, number %d.txt", i), Data: fmt.Appendf(nil, "%d", i)})
	}
	return files
}

// odd is what may go wrong in names and sizes.
func odd() []File {
	deep := strings.Repeat("d/", 40) + "bottom.txt"
	return []File{
		{Path: "empty"},
		{Path: "empty directory/"},
		{Path: "a/b/"},
		{Path: "a/b/c/"},
		{Path: "NAME.TXT", Data: pattern(1, 1)},
		{Path: "lower.txt", Data: pattern(511, 2)},
		{Path: "LOWER~1.TXT", Data: pattern(512, 3)},
		{Path: "MiXeD.Txt", Data: pattern(513, 4)},
		{Path: "sizes/one cluster", Data: pattern(4096, 5)},
		{Path: "sizes/two clusters", Data: pattern(8192, 6)},
		{Path: "sizes/one less", Data: pattern(4095, 7)},
		{Path: "sizes/one more", Data: pattern(4097, 8)},
		{Path: "names/Übergröße – 漢字.txt", Data: pattern(700, 9)},
		{Path: "names/.hidden", Data: pattern(10, 10)},
		{Path: "names/two.dots.tar.gz", Data: pattern(11, 11)},
		{Path: "names/thirteen char", Data: pattern(11, 12)},
		{Path: "names/exactly thirt", Data: pattern(11, 13)},
		{Path: "names/" + strings.Repeat("x", 255), Data: pattern(12, 14)},
		{Path: "names/" + strings.Repeat("y", 200) + ".efi", Data: pattern(13, 15)},
		{Path: "names/+,;=[]", Data: pattern(14, 16)},
		{Path: deep, Data: []byte("deep")},
	}
}

// wide is what mtools and Linux cannot name: more than 16 bits a character,
// more than 255 bytes a name.
func wide() []File {
	return []File{
		{Path: "🚢.txt", Data: pattern(700, 18)},
		{Path: strings.Repeat("漢", 255), Data: pattern(15, 17)},
	}
}

func fileSets() map[string][]File {
	return map[string][]File{"nothing": nil, "esp": esp(), "many": many(), "odd": odd(), "wide": wide()}
}

func TestRecordSizes(t *testing.T) {
	for _, test := range []struct {
		record any
		want   int
	}{
		{bootSector{}, 512}, {infoSector{}, 512}, {shortEntry{}, entrySize}, {longEntry{}, entrySize},
	} {
		if got := binary.Size(test.record); got != test.want {
			t.Errorf("Size(%T) = %d; want %d", test.record, got, test.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for name, files := range fileSets() {
		for _, sector := range []int64{512, 4096} {
			t.Run(fmt.Sprintf("%s/%d", name, sector), func(t *testing.T) {
				size := int64(33 * mib)
				if sector == 4096 {
					size = 257 * mib
				}
				o := Options{Size: size, SectorSize: sector, Serial: 0xc0ffee01, Label: "ESP", Time: testTime, Files: files}
				volume := newVolume(t, o)
				f := openVolume(t, volume, o.Size)
				if f.Label != "ESP" || f.Serial != 0xc0ffee01 {
					t.Errorf("label %q, serial %#x", f.Label, f.Serial)
				}
				compareTree(t, f, files)
				if err := f.Check(); err != nil {
					t.Error(err)
				}
				if err := f.Pristine(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// compareTree holds what a file system gives against the files it was made of.
func compareTree(t *testing.T, f fs.FS, files []File) {
	t.Helper()
	var want, got []string
	for _, file := range files {
		if path, isDir := strings.CutSuffix(file.Path, "/"); isDir {
			if info, err := fs.Stat(f, path); err != nil || !info.IsDir() {
				t.Errorf("Stat(%s) = %v, %v; want a directory", path, info, err)
			}
			continue
		}
		want = append(want, file.Path)
		content, err := fs.ReadFile(f, file.Path)
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(content, file.Data) {
			t.Errorf("content of %s differs", file.Path)
		}
	}
	err := fs.WalkDir(f, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestFS(t *testing.T) {
	for name, files := range fileSets() {
		o := Options{Size: 33 * mib, Time: testTime, Files: files}
		f := openVolume(t, newVolume(t, o), o.Size)
		var expected []string
		for _, file := range files {
			expected = append(expected, strings.TrimSuffix(file.Path, "/"))
		}
		if err := fstest.TestFS(f, expected...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFSDoors(t *testing.T) {
	o := Options{Size: 33 * mib, Time: testTime.Add(time.Second), Files: esp()}
	volume := newVolume(t, o)
	f := openVolume(t, volume, o.Size)

	// Names are found in any case.
	file, err := f.Open("efi/boot/bootx64.efi")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1000)
	if _, err := file.(io.ReaderAt).ReadAt(b, 50000); err != nil || !bytes.Equal(b, esp()[0].Data[50000:51000]) {
		t.Errorf("ReadAt: %v, or wrong bytes", err)
	}
	info, err := file.Stat()
	if err != nil || !info.ModTime().Equal(testTime) || info.Name() != "BOOTX64.EFI" || info.Mode() != 0o644 {
		t.Errorf("Stat = %v, %v", info, err)
	}

	// Extents lead to the same bytes.
	extents, err := f.Extents("EFI/Linux/ketch_0.1.0+3-0.efi")
	if err != nil || len(extents) != 1 {
		t.Fatalf("Extents = %v, %v; want one", extents, err)
	}
	b = make([]byte, 300001)
	if _, err := volume.ReadAt(b, extents[0].Offset); err != nil || !bytes.Equal(b, esp()[1].Data) {
		t.Errorf("bytes of the extent: %v, or wrong", err)
	}
	for _, test := range []struct {
		offset int64
		want   string
	}{
		{-1, "beyond the volume"}, {0, "boot sector"}, {511, "boot sector"}, {512, "FSInfo sector"}, {1024, "reserved sectors"},
		{6 * 512, "backup boot sector"}, {8*512 + 511, "backup boot sector"}, {9 * 512, "reserved sectors"},
		{f.fatOffset(0), "FAT 1"}, {f.fatOffset(1) - 1, "FAT 1"}, {f.fatOffset(1), "FAT 2"},
		{f.dataOffset(), "root directory"}, {f.dataOffset() + f.cluster, "directory EFI"},
		{extents[0].Offset, "file EFI/Linux/ketch_0.1.0+3-0.efi"}, {extents[0].Offset + extents[0].Length - 1, "file EFI/Linux/ketch_0.1.0+3-0.efi"},
		{o.Size - 1, "free space"}, {o.Size, "beyond the volume"},
	} {
		if got := f.Describe(test.offset); got != test.want {
			t.Errorf("Describe(%d) = %q; want %q", test.offset, got, test.want)
		}
	}
}

func TestDeterminism(t *testing.T) {
	files := odd()
	o := Options{Size: 33 * mib, Label: "ESP", Serial: 1, Time: testTime, Files: files}
	first, err := os.ReadFile(newVolume(t, o).Name())
	if err != nil {
		t.Fatal(err)
	}
	o.Files = slices.Clone(files)
	slices.Reverse(o.Files)
	o.Time = testTime.In(time.FixedZone("somewhere", 5*3600))
	second, err := os.ReadFile(newVolume(t, o).Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("two volumes of the same files differ at byte %d", fixed.Difference(first, second))
	}
}

func TestWriteErrors(t *testing.T) {
	stream := func(size int, announced int64) []File {
		return []File{{Path: "dir/stream", Size: announced, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(make([]byte, size))), nil
		}}}
	}
	one := func(paths ...string) []File {
		var files []File
		for _, path := range paths {
			files = append(files, File{Path: path})
		}
		return files
	}
	for _, test := range []struct {
		name    string
		options Options
		want    string
	}{
		{"too small", Options{Size: 32 * mib}, "FAT32 wants 65541"},
		{"too small for 4096", Options{Size: 256 * mib, SectorSize: 4096}, "FAT32 wants 65541"},
		{"uneven", Options{Size: 64*mib + 1}, "not a positive multiple of the sector size 512"},
		{"negative", Options{Size: -512}, "not a positive multiple"},
		{"huge", Options{Size: 1 << 42}, "at most 2^32-1 sectors"},
		{"too many clusters", Options{Size: 1 << 43, SectorSize: 4096}, ""},
		{"far too many clusters", Options{Size: 1<<44 - 4096, SectorSize: 4096}, "at most 268435445 clusters"},
		{"sector size", Options{Size: 64 * mib, SectorSize: 520}, "sector size 520: want 512 or 4096"},
		{"label length", Options{Size: 64 * mib, Label: "TWELVE CHARS"}, "longer than 11"},
		{"label case", Options{Size: 64 * mib, Label: "esp"}, `label "esp" contains the character 'e'`},
		{"label space", Options{Size: 64 * mib, Label: " ESP"}, "starts or ends with a space"},
		{"empty path", Options{Size: 64 * mib, Files: one("")}, "the path is empty"},
		{"absolute path", Options{Size: 64 * mib, Files: one("/EFI")}, `file /EFI: name "" is not allowed`},
		{"double slash", Options{Size: 64 * mib, Files: one("EFI//x")}, `name "" is not allowed`},
		{"climbing path", Options{Size: 64 * mib, Files: one("EFI/../x")}, `name ".." is not allowed`},
		{"bad character", Options{Size: 64 * mib, Files: one("EFI/a:b")}, `name "a:b" contains the character ':'`},
		{"control character", Options{Size: 64 * mib, Files: one("a\x01")}, "contains the character"},
		{"trailing period", Options{Size: 64 * mib, Files: one("a.")}, "ends with a period or a space"},
		{"trailing space", Options{Size: 64 * mib, Files: one("a ")}, "ends with a period or a space"},
		{"long name", Options{Size: 64 * mib, Files: one(strings.Repeat("a", 256))}, "longer than 255 UTF-16 units"},
		{"long name in pairs", Options{Size: 64 * mib, Files: one(strings.Repeat("🚢", 128))}, "longer than 255 UTF-16 units"},
		{"long path", Options{Size: 64 * mib, Files: one(strings.Repeat("d/", 2049))}, "the path is longer than 4095 bytes"},
		{"not UTF-8", Options{Size: 64 * mib, Files: one("\xff")}, "not valid UTF-8"},
		{"twice", Options{Size: 64 * mib, Files: one("EFI/a", "EFI/A")}, "file EFI/A: the name is already taken by EFI/a"},
		{"twice in Unicode", Options{Size: 64 * mib, Files: one("ä", "Ä")}, "already taken by ä"},
		{"directory and file", Options{Size: 64 * mib, Files: one("a/b", "A")}, "already taken by a"},
		{"directory in two cases", Options{Size: 64 * mib, Files: one("EFI/a", "efi/b")}, "directory EFI is also written efi"},
		{"through a file", Options{Size: 64 * mib, Files: one("EFI/a", "EFI/a/b")}, "file EFI/a/b: EFI/a is a file, not a directory"},
		{"directory with content", Options{Size: 64 * mib, Files: []File{{Path: "a/", Data: []byte("x")}}}, "a directory has no content"},
		{"file too large", Options{Size: 64 * mib, Files: stream(0, 1<<32)}, "more than the 4294967295 of the largest file"},
		{"negative file", Options{Size: 64 * mib, Files: stream(0, -1)}, "largest file"},
		{"stream ends early", Options{Size: 64 * mib, Files: stream(10, 11)}, "file dir/stream: content ends after 10 of 11 bytes"},
		{"stream goes on", Options{Size: 64 * mib, Files: stream(12, 11)}, "file dir/stream: content goes on after its 11 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Write(discard{}, test.options)
			if test.want == "" && err == nil {
				return
			}
			if err == nil || test.want == "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Write = %v; want %q", err, test.want)
			}
		})
	}
}

// discard is an io.WriterAt for volumes that nobody reads.
type discard struct{}

func (discard) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

func TestSpace(t *testing.T) {
	const size = 64 * mib
	g, err := newGeometry(size, 512)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(clusters int64) []File { // the root directory takes one more
		return []File{{Path: "FILL", Size: clusters * g.cluster, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(zeros{}, clusters*g.cluster)), nil
		}}}
	}
	o := Options{Size: size, Files: fill(g.clusters - 1)}
	f := openVolume(t, newVolume(t, o), size)
	if err := f.Check(); err != nil {
		t.Error(err)
	}
	if err := f.Pristine(); err != nil {
		t.Error(err)
	}
	o.Files = fill(g.clusters + 9)
	var space *SpaceError
	if err := Write(discard{}, o); !errors.As(err, &space) || space.Missing != 10*g.cluster {
		t.Errorf("Write = %v; want 10 clusters of %d bytes missing", err, g.cluster)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestSparse: a volume costs what it holds.
func TestSparse(t *testing.T) {
	recorder := &counter{}
	if err := Write(recorder, Options{Size: 512 * mib, Label: "ESP", Time: testTime, Files: esp()}); err != nil {
		t.Fatal(err)
	}
	content := 0
	for _, file := range esp() {
		content += len(file.Data)
	}
	if limit := int64(content + 8192); recorder.n > limit {
		t.Errorf("Write wrote %d bytes; want at most %d", recorder.n, limit)
	}
}

type counter struct{ n int64 }

func (c *counter) WriteAt(b []byte, _ int64) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

func TestStamp(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"2026-11-22T13:14:17Z", "2026-11-22T13:14:16Z"},
		{"2026-11-22T00:30:00+02:00", "2026-11-21T22:30:00Z"},
		{"1970-01-01T00:00:00Z", "1980-01-01T00:00:00Z"},
		{"1980-01-01T00:30:00+01:00", "1980-01-01T00:00:00Z"},
		{"2107-12-31T23:59:59Z", "2107-12-31T23:59:58Z"},
		{"2200-01-01T00:00:00Z", "2107-12-31T23:59:58Z"},
	} {
		in, err := time.Parse(time.RFC3339, test.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := newStamp(in).moment().Format(time.RFC3339); got != test.want {
			t.Errorf("stamp of %s = %s; want %s", test.in, got, test.want)
		}
	}
}
