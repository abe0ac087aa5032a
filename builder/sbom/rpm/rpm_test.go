package rpm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// files is a tree.
type files map[string][]byte

func (f files) ReadFile(name string) ([]byte, error) {
	if data, ok := f[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// specs are packages to build: one with an epoch, one that is large, one without files.
func specs() map[string]string {
	spec := func(name, licence, more, install, list string) string {
		return fmt.Sprintf("Name: %s\nVersion: 1.2\nRelease: 3%%{?dist}\nSummary: s\nLicense: %s\nBuildArch: noarch\n%s\n%%description\nd\n%%install\n%s\n%%files\n%s\n",
			name, licence, more, install, list)
	}
	return map[string]string{
		"tool":  spec("tool", "GPL-2.0-or-later AND MIT", "Epoch: 2", "install -D /dev/null %{buildroot}/usr/bin/tool\ninstall -D /dev/null %{buildroot}/etc/tool.conf", "/usr/bin/tool\n/etc/tool.conf"),
		"large": spec("large", "GPLv2+", "", "mkdir -p %{buildroot}/usr/share/large\nfor i in $(seq -w 700); do : > %{buildroot}/usr/share/large/file$i; done", "/usr/share/large"),
		"none":  spec("none", "Public Domain", "", "", ""),
	}
}

// want are the packages of a database that all of them are in.
func want() []Package {
	large := Package{Name: "large", Version: "1.2-3", Architecture: "noarch", Source: "large-1.2-3.src.rpm", Licence: "GPLv2+", Files: []string{"usr/share/large"}}
	for i := range 700 {
		large.Files = append(large.Files, fmt.Sprintf("usr/share/large/file%03d", i+1))
	}
	return []Package{
		large,
		{Name: "none", Version: "1.2-3", Architecture: "noarch", Source: "none-1.2-3.src.rpm", Licence: "Public Domain"},
		{Name: "tool", Epoch: 2, Version: "1.2-3", Architecture: "noarch", Source: "tool-1.2-3.src.rpm", Licence: "GPL-2.0-or-later AND MIT", Files: []string{"etc/tool.conf", "usr/bin/tool"}},
	}
}

func run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testkit.Tool(t, name), args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // where Debian's rpm has a database by default
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, &complaints)
	}
	return out
}

// buildPackages builds the packages, with rpmbuild.
func buildPackages(t testing.TB) (paths []string) {
	t.Helper()
	top := t.TempDir()
	for name, text := range specs() {
		spec := filepath.Join(top, name+".spec")
		if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "rpmbuild", "-bb", "--define", "_topdir "+top, "--define", "dist %{nil}", spec)
		paths = append(paths, filepath.Join(top, "RPMS/noarch", name+"-1.2-3.noarch.rpm"))
	}
	return paths
}

// install makes a database, with rpm.
func install(t testing.TB, packages []string) []byte {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--dbpath", dir, "--define", "_db_backend sqlite", "-i", "--justdb", "--nodeps", "--noscripts", "--ignorearch", "--ignoreos"}
	run(t, "rpm", append(args, packages...)...)
	data, err := os.ReadFile(filepath.Join(dir, "rpmdb.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "rpmdb.sqlite-wal")); len(log) > 0 {
		t.Fatalf("rpm has left a log of %d bytes, %v", len(log), err)
	}
	return data
}

// TestRead reads what rpm has written, and the same as Berkeley DB's own tool writes it:
// rpm itself only reads that form any more.
func TestRead(t *testing.T) {
	sqlite := install(t, buildPackages(t))
	var headers [][]byte
	if err := eachSQLite(sqlite, func(h []byte) error { headers = append(headers, h); return nil }); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"rpmdb.sqlite": sqlite, "Packages": berkeley(t, headers), "Packages.db": ndb(t, headers)} {
		for _, place := range places {
			got, err := Read(files{place + "/" + name: data})
			if diff := cmp.Diff(want(), got); diff != "" || err != nil {
				t.Errorf("Read of %s/%s: %v, -want +got:\n%s", place, name, err, diff)
			}
		}
	}
}

// ndb writes headers as RPM's ndb. Debian's rpm is built without
// that: this follows the same description as the reader.
func ndb(t testing.TB, headers [][]byte) []byte {
	t.Helper()
	slots, blobs := bytes.NewBuffer(nil), bytes.NewBuffer(nil)
	write := func(to *bytes.Buffer, v any) {
		if err := binary.Write(to, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	write(slots, ndbHeader{Magic: [4]byte([]byte("RpmP")), Generation: 7, SlotPages: 1})
	for i, header := range headers {
		number, at := uint32(i+1), uint32(ndbPage+blobs.Len())/ndbBlock
		write(blobs, ndbBlob{[4]byte([]byte("BlbS")), number, 7, uint32(len(header))})
		blobs.Write(header)
		blobs.Write(make([]byte, 12+(ndbBlock-(16+len(header)+12)%ndbBlock)%ndbBlock)) // the tail, and what fills the block
		write(slots, ndbSlot{[4]byte([]byte("Slot")), number, at, uint32(ndbPage+blobs.Len())/ndbBlock - at})
	}
	for slots.Len() < ndbPage {
		write(slots, ndbSlot{Magic: [4]byte([]byte("Slot"))})
	}
	return append(slots.Bytes(), blobs.Bytes()...)
}

// berkeley writes headers into a hash table of Berkeley DB's.
func berkeley(t testing.TB, headers [][]byte) []byte {
	t.Helper()
	var dump strings.Builder
	dump.WriteString("VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n 00000000\n 03000000\n")
	for i, header := range headers {
		fmt.Fprintf(&dump, " %02x000000\n %s\n", i+1, hex.EncodeToString(header))
	}
	dump.WriteString("DATA=END\n")
	path := filepath.Join(t.TempDir(), "Packages")
	cmd := exec.Command(testkit.Tool(t, "db5.3_load"), path)
	cmd.Stdin = strings.NewReader(dump.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("db5.3_load: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestReadMany reads a database of SQLite whose table has interior pages.
func TestReadMany(t *testing.T) {
	top := t.TempDir()
	var spec strings.Builder
	spec.WriteString("Name: p\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n")
	const count = 60
	for i := range count {
		fmt.Fprintf(&spec, "%%package s%d\nSummary: s\n%%description s%[1]d\n%s\n%%files s%[1]d\n", i, strings.Repeat("words ", 500))
	}
	path := filepath.Join(top, "p.spec")
	if err := os.WriteFile(path, []byte(spec.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "rpmbuild", "-bb", "--define", "_topdir "+top, path)
	packages, err := filepath.Glob(filepath.Join(top, "RPMS/noarch/*.rpm"))
	if err != nil || len(packages) != count {
		t.Fatalf("rpmbuild has made %d packages, %v; want %d", len(packages), err, count)
	}
	data := install(t, packages)
	got, err := Read(files{"var/lib/rpm/rpmdb.sqlite": data})
	if err != nil || len(got) != count {
		t.Errorf("Read has %d packages, %v; want %d", len(got), err, count)
	}
	db, err := openSQLite(data)
	if err != nil {
		t.Fatal(err)
	}
	root, err := db.root("Packages")
	if err != nil {
		t.Fatal(err)
	}
	if page, err := db.content(root); err != nil || page[0] != sqliteInterior {
		t.Errorf("the table's first page is of type %#x, %v: the test is about interior ones", page[0], err)
	}
}

func TestReadRefuses(t *testing.T) {
	if got, err := Read(files{}); got != nil || err != nil {
		t.Errorf("Read of nothing = %v, %v", got, err)
	}
	data := install(t, buildPackages(t))
	const name = "var/lib/rpm/rpmdb.sqlite"
	for what, tree := range map[string]files{
		"no database":     {name: []byte("SQLite")},
		"a cut off one":   {name: data[:len(data)/2]},
		"one with a log":  {name: data, name + "-wal": {1}},
		"no hash table":   {"var/lib/rpm/Packages": make([]byte, 8192)},
		"no ndb":          {"var/lib/rpm/Packages.db": make([]byte, 8192)},
		"an unreadable":   {name: bytes.ReplaceAll(data, []byte("Packages"), []byte("Luggage!"))},
		"an empty header": {name: nil},
	} {
		if got, err := Read(tree); err == nil || !strings.Contains(err.Error(), "var/lib/rpm") {
			t.Errorf("Read of %s = %d packages, %v; want an error with the place", what, len(got), err)
		}
	}
	if got, err := Read(files{name: data, name + "-wal": nil}); err != nil || len(got) != 3 {
		t.Errorf("Read with an empty log = %d packages, %v", len(got), err)
	}
}

// sample is a header as small as can be: name and version.
func sample(t testing.TB) []byte {
	t.Helper()
	var blob bytes.Buffer
	for _, v := range []any{
		[2]uint32{2, 8}, entry{tagName, typeString, 0, 1}, entry{tagVersion, typeString, 5, 1}, []byte("tool\x00v1\x00"),
	} {
		if err := binary.Write(&blob, binary.BigEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	return blob.Bytes()
}

func TestParseHeader(t *testing.T) {
	got, err := parseHeader(sample(t))
	if diff := cmp.Diff(Package{Name: "tool", Version: "v1"}, got); diff != "" || err != nil {
		t.Errorf("parseHeader: %v, -want +got:\n%s", err, diff)
	}
	for at := range sample(t) {
		if _, err := parseHeader(sample(t)[:at]); err == nil {
			t.Errorf("a header cut off after %d bytes: no error", at)
		}
	}
}

// listing is a header with files of one letter, all in one directory.
func listing(t testing.TB, dir string, count int) []byte {
	t.Helper()
	var index, data bytes.Buffer
	put := func(tag, kind, count int, value []byte) {
		if err := binary.Write(&index, binary.BigEndian, entry{uint32(tag), uint32(kind), uint32(data.Len()), uint32(count)}); err != nil {
			t.Fatal(err)
		}
		data.Write(value)
	}
	put(tagName, typeString, 1, []byte("tool\x00"))
	put(tagVersion, typeString, 1, []byte("v1\x00"))
	put(tagDirNames, typeArray, 1, []byte(dir+"\x00"))
	put(tagBaseNames, typeArray, count, bytes.Repeat([]byte("a\x00"), count))
	put(tagDirIndexes, typeInt32, count, make([]byte, 4*count))
	counts := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 5), uint32(data.Len()))
	return slices.Concat(counts, index.Bytes(), data.Bytes())
}

// TestBombs: what is small in a database does not become large by being repeated.
func TestBombs(t *testing.T) {
	for what, test := range map[string]struct {
		header []byte
		want   string
	}{
		"a path as long as any":    {listing(t, "/"+strings.Repeat("d", maxPath-2), 1), ""},
		"a path that is too long":  {listing(t, "/"+strings.Repeat("d", maxPath-1), 1), "has a path of 4097 bytes"},
		"a directory, many files":  {listing(t, "/"+strings.Repeat("d", 4000), 1000), "the paths of 1000 files are more than 16 times as long"},
		"a directory of few bytes": {listing(t, "/usr/share/large", 1000), ""},
	} {
		p, err := parseHeader(test.header)
		if test.want == "" && (err != nil || len(p.Files) == 0) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %d files, %v; want %q", what, len(p.Files), err, test.want)
		}
	}

	// The second slot leads to the blob of the first: under its own number, and under another.
	one := ndb(t, [][]byte{sample(t)})
	for number, want := range map[uint32]string{1: "package 1 a second time", 2: "not the blob of package 2"} {
		twice := bytes.Clone(one)
		copy(twice[48:64], twice[32:48])
		binary.LittleEndian.PutUint32(twice[52:], number)
		if _, err := Read(files{"var/lib/rpm/Packages.db": twice}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read of an ndb whose slots lead to one blob: %v; want %q", err, want)
		}
	}

	// A form that finds a header again and again.
	if _, err := parse(sample(t), func(data []byte, do func([]byte) error) error {
		return errors.Join(do(data), do(data))
	}); err == nil || !strings.Contains(err.Error(), "some are there twice") {
		t.Errorf("parse of a header that is found twice: %v", err)
	}
}

// TestSameCell: a leaf of SQLite's whose pointers all lead to one cell.
func TestSameCell(t *testing.T) {
	const page, cell = 4096, 2048
	data := make([]byte, page)
	copy(data, sqliteMagic)
	binary.BigEndian.PutUint16(data[16:], page)
	data[sqliteHeader] = sqliteLeaf
	// A payload of 103 bytes and number 1; a blob of 100 bytes, whose type is 12 + 2·100.
	copy(data[cell:], []byte{103, 1, 3, 0x81, 12 + 2*100 - 128})
	for count, want := range map[int]string{1: "has no table Packages", 30: "has no table Packages", 60: "some are there twice"} {
		binary.BigEndian.PutUint16(data[sqliteHeader+3:], uint16(count))
		for i := range count {
			binary.BigEndian.PutUint16(data[sqliteHeader+8+2*i:], cell)
		}
		if err := eachSQLite(data, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d pointers to one cell: %v; want %q", count, err, want)
		}
	}
}

// A damaged database is an error or has other packages; it never takes for ever. The
// forms that only tools write are among the seeds where the tools are.
func FuzzRead(f *testing.F) {
	f.Add("Packages.db", ndb(f, [][]byte{sample(f), sample(f)}))
	if _, err := testkit.Find("db5.3_load"); err == nil {
		f.Add("Packages", berkeley(f, [][]byte{sample(f), bytes.Repeat(sample(f), 300)}))
	}
	if _, err := testkit.Find("rpmbuild"); err == nil {
		f.Add("rpmdb.sqlite", install(f, buildPackages(f)))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		packages, err := Read(files{"var/lib/rpm/" + filepath.Base(name): data})
		if err != nil {
			return
		}
		for _, p := range packages {
			if p.Name == "" || p.Version == "" || strings.Contains(p.Name, "/") {
				t.Errorf("Read has a package %+v", p)
			}
		}
	})
}
