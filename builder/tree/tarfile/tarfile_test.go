package tarfile

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestRecordSizes(t *testing.T) {
	for _, record := range []any{rawHeader{}, rawGNU{}, rawMap{}} {
		if got := binary.Size(record); got != blockSize {
			t.Errorf("binary.Size(%T) = %d; want %d", record, got, blockSize)
		}
	}
	if got := binary.Size(rawSparse{}); got != 24 {
		t.Errorf("binary.Size(rawSparse) = %d; want 24", got)
	}
}

// readAll reads all entries of an archive, and the contents of its files.
func readAll(data []byte) (entries []*Entry, contents [][]byte, err error) {
	r := NewReader(bytes.NewReader(data), int64(len(data)))
	for {
		e, err := r.Next()
		if err == io.EOF {
			return entries, contents, nil
		}
		if err != nil {
			return entries, contents, err
		}
		var content []byte
		if e.Size < 100<<20 {
			content = make([]byte, e.Size)
			for _, p := range e.Pieces {
				copy(content[p.Offset:p.Offset+p.Size], data[p.At:p.At+p.Size])
			}
		}
		entries, contents = append(entries, e), append(contents, content)
	}
}

// TestGNUTar reads what GNU tar writes of one tree in every format it knows.
func TestGNUTar(t *testing.T) {
	tool := testkit.Tool(t, "tar")
	dir := t.TempDir()
	want := makeFiles(t, dir)
	for _, args := range [][]string{
		{"--format=v7"}, {"--format=oldgnu"}, {"--format=gnu"}, {"--format=ustar"}, {"--format=posix"},
		{"--format=gnu", "--sparse"}, {"--format=oldgnu", "--sparse"},
		{"--format=posix", "--sparse", "--sparse-version=0.0"},
		{"--format=posix", "--sparse", "--sparse-version=0.1"},
		{"--format=posix", "--sparse", "--sparse-version=1.0"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			files := []string{"small", "holes", "many-holes", "all-hole", "link", "symlink", "dir"}
			if !strings.Contains(args[0], "v7") && !strings.Contains(args[0], "ustar") {
				files = append(files, strings.TrimPrefix(longName, "./"))
			}
			cmd := exec.Command(tool, append(append(args, "--numeric-owner", "-C", dir, "-cf", "-"), files...)...)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", cmd, err)
			}
			entries, contents, err := readAll(out)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) != len(files) {
				t.Fatalf("%d entries; want %d", len(entries), len(files))
			}
			for i, e := range entries {
				checkEntry(t, dir, e)
				if e.Type == TypeRegular && sha256.Sum256(contents[i]) != sha256.Sum256(want[e.Name]) {
					t.Errorf("%s: %d bytes; want %d, or other content", e.Name, len(contents[i]), len(want[e.Name]))
				}
				if strings.Contains(strings.Join(args, " "), "sparse") && e.Name == "all-hole" && len(e.Pieces) != 0 {
					t.Errorf("all-hole has pieces %v; want none", e.Pieces)
				}
			}
		})
	}
}

var longName = strings.Repeat("long/", 60) + strings.Repeat("n", 150)

// makeFiles makes the files that TestGNUTar archives and returns their contents.
func makeFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	want := map[string][]byte{"small": []byte("small\n"), longName: []byte("deep\n")}
	random := rand.NewChaCha8([32]byte{})
	holes := make([]byte, 5<<20)
	random.Read(holes[1<<20 : 1<<20+5000])
	random.Read(holes[len(holes)-100:])
	want["holes"] = holes
	many := make([]byte, 40*128<<10) // more holes than one block of the old format describes
	for i := range 40 {
		random.Read(many[i*128<<10:][:700])
	}
	want["many-holes"] = many
	want["all-hole"] = make([]byte, 1<<20)
	for name, data := range want {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(data); at += 4096 { // only what is not zero, so that the rest is holes
			block := data[at:min(at+4096, len(data))]
			if !bytes.Equal(block, make([]byte, len(block))) {
				if _, err := f.WriteAt(block, int64(at)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := errors.Join(f.Truncate(int64(len(data))), f.Close(), os.Chtimes(path, time.Time{}, time.Unix(1e9, 0))); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Link(filepath.Join(dir, "small"), filepath.Join(dir, "link")),
		os.Symlink("../target", filepath.Join(dir, "symlink")), os.Mkdir(filepath.Join(dir, "dir"), 0o750))
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func checkEntry(t *testing.T, dir string, e *Entry) {
	t.Helper()
	info, err := os.Lstat(filepath.Join(dir, e.Name))
	if err != nil {
		t.Error(err)
		return
	}
	if got, want := uint32(e.Mode)&0o777, uint32(info.Mode().Perm()); got != want {
		t.Errorf("%s: mode %o; want %o", e.Name, got, want)
	}
	if e.Mtime.Unix() != info.ModTime().Unix() {
		t.Errorf("%s: time %v; want %v", e.Name, e.Mtime, info.ModTime())
	}
	if e.UID != int64(os.Getuid()) || e.GID != int64(os.Getgid()) {
		t.Errorf("%s: owner %d:%d", e.Name, e.UID, e.GID)
	}
	want := map[string]string{"link": "1 small", "symlink": "2 ../target", "dir/": "5 "}[e.Name]
	if got := fmt.Sprintf("%c %s", e.Type, e.Link); want != "" && got != want {
		t.Errorf("%s: type and target %q; want %q", e.Name, got, want)
	}
}

// block makes a header block from fields at offsets, with its checksum.
func block(fields map[int]string) []byte {
	b := make([]byte, blockSize)
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        0")
	copy(b[257:], magicUstar+"00")
	for at, text := range fields {
		copy(b[at:], text)
	}
	sum := 0
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// signedSum gives a header the checksum of its bytes as signed numbers.
func signedSum(header []byte) []byte {
	copy(header[148:], "        ")
	sum := 0
	for _, b := range header {
		sum += int(int8(b))
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	return header
}

// pax makes an extended header of the given type.
func pax(flag string, records ...string) []byte {
	var data string
	for _, r := range records {
		n := len(r) + 3
		for len(fmt.Sprintf("%d %s\n", n, r)) != n {
			n++
		}
		data += fmt.Sprintf("%d %s\n", n, r)
	}
	return append(block(map[int]string{0: "pax", 124: fmt.Sprintf("%011o\x00", len(data)), 156: flag}), padded(data)...)
}

func padded(data string) []byte {
	return append([]byte(data), make([]byte, (blockSize-len(data)%blockSize)%blockSize)...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestHandmade(t *testing.T) {
	file := func(name string) []byte { return block(map[int]string{0: name}) }
	end := make([]byte, 2*blockSize)
	epoch := time.Unix(0, 0)
	entry := func(name string, edit func(*Entry)) *Entry {
		e := &Entry{Name: name, Type: TypeRegular, Mode: 0o644, Mtime: epoch}
		if edit != nil {
			edit(e)
		}
		return e
	}
	tests := []struct {
		name string
		data []byte
		want []*Entry
		err  string
	}{
		{"nothing", nil, nil, ""},
		{"no end", file("a"), []*Entry{entry("a", nil)}, ""},
		{"end and rubbish", join(file("a"), end, []byte("rubbish")), []*Entry{entry("a", nil)}, ""},
		{"one block of zeros at the end", join(file("a"), end[:blockSize]), []*Entry{entry("a", nil)}, ""},
		{"one block of zeros in the middle", join(end[:blockSize], file("a")), nil, "block of zeros"},
		{"half a block", join(file("a"), make([]byte, 100)), nil, "unexpected EOF"},
		{"checksum", append([]byte("x"), file("a")[1:]...), nil, "wrong checksum"},
		{"name of 100 bytes", file(strings.Repeat("n", 100)), []*Entry{entry(strings.Repeat("n", 100), nil)}, ""},
		{"prefix", block(map[int]string{0: "a", 345: "dir"}), []*Entry{entry("dir/a", nil)}, ""},
		{"prefix of star", block(map[int]string{0: "a", 345: "dir", 345 + 131: "00000000000 ", 508: "tar\x00"}), []*Entry{entry("dir/a", nil)}, ""},
		{"ustar of another version", block(map[int]string{0: "a", 263: "\xff\xff", 345: "dir"}), []*Entry{entry("dir/a", nil)}, ""},
		{"checksum of signed bytes", signedSum(block(map[int]string{0: "\xff"})), []*Entry{entry("\xff", nil)}, ""},
		{"times of GNU", block(map[int]string{0: "a", 257: "ustar  \x00", 345: "14360000000\x0014360000000\x00"}), []*Entry{entry("a", nil)}, ""},
		{"prefix in a GNU header, of an old Go", block(map[int]string{0: "a", 257: "ustar  \x00", 345: "dir"}), []*Entry{entry("dir/a", nil)}, ""},
		{"v7", block(map[int]string{0: "a", 156: "\x00", 257: "\x00\x00\x00\x00\x00\x00\x00\x00"}), []*Entry{entry("a", nil)}, ""},
		{"v7 directory", block(map[int]string{0: "a/", 156: "\x00"}), []*Entry{entry("a/", func(e *Entry) { e.Type = TypeDir })}, ""},
		{"contiguous file", block(map[int]string{0: "a", 156: "7"}), []*Entry{entry("a", nil)}, ""},
		{"data of a link is none", join(block(map[int]string{0: "a", 124: "00000001000\x00", 156: "1", 157: "b"}), file("c")),
			[]*Entry{entry("a", func(e *Entry) { e.Type, e.Link = TypeLink, "b" }), entry("c", nil)}, ""},
		{"device", block(map[int]string{0: "a", 156: "3", 329: "0000010\x00", 337: "0000377\x00"}),
			[]*Entry{entry("a", func(e *Entry) { e.Type, e.Major, e.Minor = TypeChar, 8, 255 })}, ""},
		{"numbers in base 256", block(map[int]string{0: "a", 108: "\x80\x00\x00\x00\xff\xff\xff\xfe", 136: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}),
			[]*Entry{entry("a", func(e *Entry) { e.UID, e.Mtime = 0xfffffffe, time.Unix(-1, 0) })}, ""},
		{"numbers with spaces", block(map[int]string{0: "a", 108: "  17 \x00\x00\x00"}), []*Entry{entry("a", func(e *Entry) { e.UID = 15 })}, ""},
		{"number that is too large", block(map[int]string{0: "a", 124: "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}), nil, "too large"},
		{"number that is none", block(map[int]string{0: "a", 124: "0000000009\x00"}), nil, "not octal"},
		{"negative size", block(map[int]string{0: "a", 124: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}), nil, "negative size"},
		{"size beyond the end", block(map[int]string{0: "a", 124: "00000001000\x00"}), nil, "archive ends after 0"},
		{"unknown type", block(map[int]string{0: "a", 156: "V"}), nil, `unknown type 'V'`},
		{"no padding at the end", join(block(map[int]string{0: "a", 124: "00000000003\x00"}), []byte("abc")),
			[]*Entry{entry("a", func(e *Entry) { e.Size, e.Pieces = 3, []Piece{{0, 512, 3}} })}, ""},

		{"extended header", join(pax("x", "path=p", "uid=4294967294", "gid=5", "mtime=-1.5", "SCHILY.xattr.user.a=b\x00=c", "SCHILY.xattr.user.e=", "comment=x"), file("a")),
			[]*Entry{entry("p", func(e *Entry) {
				e.UID, e.GID, e.Mtime = 4294967294, 5, time.Unix(-1, -5e8)
				e.Xattrs = map[string]string{"user.a": "b\x00=c", "user.e": ""}
			})}, ""},
		{"extended header holds once", join(pax("x", "path=p"), file("a"), file("b")), []*Entry{entry("p", nil), entry("b", nil)}, ""},
		{"the last record of a key counts", join(pax("x", "path=p", "path=q"), file("a")), []*Entry{entry("q", nil)}, ""},
		{"a record without value", join(pax("x", "path="), file("a")), []*Entry{entry("a", nil)}, ""},
		{"nanoseconds are cut off", join(pax("x", "mtime=1.99999999999"), file("a")), []*Entry{entry("a", func(e *Entry) { e.Mtime = time.Unix(1, 999999999) })}, ""},
		{"extended size", join(pax("x", "size=3"), file("a"), padded("abc"), file("b")),
			[]*Entry{entry("a", func(e *Entry) { e.Size, e.Pieces = 3, []Piece{{0, 1536, 3}} }), entry("b", nil)}, ""},
		{"long linkpath", join(pax("x", "linkpath="+strings.Repeat("l", 300)), block(map[int]string{0: "a", 156: "2"})),
			[]*Entry{entry("a", func(e *Entry) { e.Type, e.Link = TypeSymlink, strings.Repeat("l", 300) })}, ""},
		{"GNU long name and link", join(
			block(map[int]string{0: "././@LongLink", 124: "00000000005\x00", 156: "L"}), padded("name\x00"),
			block(map[int]string{0: "././@LongLink", 124: "00000000005\x00", 156: "K"}), padded("link\x00"),
			block(map[int]string{0: "a", 156: "2"})),
			[]*Entry{entry("name", func(e *Entry) { e.Type, e.Link = TypeSymlink, "link" })}, ""},
		{"extension of nothing", pax("x", "path=p"), nil, "unexpected EOF"},
		{"zero byte in a name", join(pax("x", "path=a\x00b"), file("a")), nil, "zero byte"},
		{"record length wrong", join(block(map[int]string{0: "p", 124: "00000000010\x00", 156: "x"}), padded("99 a=b\n")), nil, "malformed"},
		{"record without equals sign", join(pax("x", "path"), file("a")), nil, "malformed"},
		{"record without key", join(pax("x", "=a"), file("a")), nil, "malformed"},
		{"owner that is no number", join(pax("x", "uid=-1"), file("a")), nil, "not a decimal number"},
		{"time that is none", join(pax("x", "mtime=1.x"), file("a")), nil, "not a time"},
		{"extended header too large", block(map[int]string{0: "p", 124: "00010000000\x00", 156: "x"}), nil, "larger than"},

		{"global header", join(pax("g", "uid=7", "comment=0123"), file("a"), pax("x", "uid=8"), file("b"), file("c")),
			[]*Entry{entry("a", func(e *Entry) { e.UID = 7 }), entry("b", func(e *Entry) { e.UID = 8 }), entry("c", func(e *Entry) { e.UID = 7 })}, ""},
		{"a later global header", join(pax("g", "uid=7"), pax("g", "uid=9"), file("a")), []*Entry{entry("a", func(e *Entry) { e.UID = 9 })}, ""},
		{"global header that names files", join(pax("g", "path=p"), file("a")), nil, "of every file"},
		{"global header with attributes", join(pax("g", "SCHILY.xattr.user.a=b"), file("a")), nil, "of every file"},

		{"sparse 0.1", join(pax("x", "GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=s", "GNU.sparse.size=100", "GNU.sparse.numblocks=2", "GNU.sparse.map=10,2,50,1", "size=3"), file("a"), padded("abc")),
			[]*Entry{entry("s", func(e *Entry) { e.Size, e.Pieces = 100, []Piece{{10, 1536, 2}, {50, 1538, 1}} })}, ""},
		{"sparse 0.0", join(pax("x", "GNU.sparse.size=100", "GNU.sparse.numblocks=2", "GNU.sparse.offset=10", "GNU.sparse.numbytes=2", "GNU.sparse.offset=50", "GNU.sparse.numbytes=1", "size=3"), file("a"), padded("abc")),
			[]*Entry{entry("a", func(e *Entry) { e.Size, e.Pieces = 100, []Piece{{10, 1536, 2}, {50, 1538, 1}} })}, ""},
		{"sparse 1.0", join(pax("x", "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=s", "GNU.sparse.realsize=100", "size=515"), file("a"), padded("2\n10\n2\n50\n1\n"), padded("abc")),
			[]*Entry{entry("s", func(e *Entry) { e.Size, e.Pieces = 100, []Piece{{10, 2048, 2}, {50, 2050, 1}} })}, ""},
		{"sparse of huge size", join(pax("x", "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=9223372036854775807", "size=512"), file("a"), padded("0\n")),
			[]*Entry{entry("a", func(e *Entry) { e.Size = 1<<63 - 1 })}, ""},
		{"sparse pieces overlap", join(pax("x", "GNU.sparse.size=100", "GNU.sparse.numblocks=2", "GNU.sparse.map=10,2,11,1", "size=3"), file("a"), padded("abc")), nil, "overlaps"},
		{"sparse piece beyond the file", join(pax("x", "GNU.sparse.size=100", "GNU.sparse.numblocks=1", "GNU.sparse.map=99,3", "size=3"), file("a"), padded("abc")), nil, "leaves the file"},
		{"sparse piece that overflows", join(pax("x", "GNU.sparse.size=100", "GNU.sparse.numblocks=1", "GNU.sparse.map=9,9223372036854775807", "size=3"), file("a"), padded("abc")), nil, "leaves the file"},
		{"sparse with less data", join(pax("x", "GNU.sparse.size=100", "GNU.sparse.numblocks=1", "GNU.sparse.map=9,4", "size=3"), file("a"), padded("abc")), nil, "more data in the map"},
		{"sparse with more data", join(pax("x", "GNU.sparse.size=100", "GNU.sparse.numblocks=1", "GNU.sparse.map=9,2", "size=3"), file("a"), padded("abc")), nil, "does not place"},
		{"sparse count wrong", join(pax("x", "GNU.sparse.size=100", "GNU.sparse.numblocks=9", "GNU.sparse.map=9,3", "size=3"), file("a"), padded("abc")), nil, "9 pieces announced"},
		{"sparse map that does not end", join(pax("x", "GNU.sparse.major=1", "GNU.sparse.minor=0", "size=512"), file("a"), padded("9\n1\n")), nil, "sparse file"},
		{"sparse map of too many", join(pax("x", "GNU.sparse.major=1", "GNU.sparse.minor=0", "size=512"), file("a"), padded("99999999\n")), nil, "the map begins"},
		{"sparse of an unknown version", join(pax("x", "GNU.sparse.major=2", "GNU.sparse.minor=0", "size=512"), file("a"), padded("")), nil, "unknown format 2.0"},
		{"old sparse in ustar", block(map[int]string{0: "a", 156: "S"}), nil, "not a GNU header"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := readAllEntries(tt.data)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v; want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// readAllEntries reads entries without their contents.
func readAllEntries(data []byte) (entries []*Entry, size int64, err error) {
	r := NewReader(bytes.NewReader(data), int64(len(data)))
	for {
		e, err := r.Next()
		if err == io.EOF {
			return entries, r.next, nil
		}
		if err != nil {
			return entries, r.next, err
		}
		entries = append(entries, e)
	}
}

// FuzzReader looks for panics, for pieces outside the archive or the file, and
// for archives that the standard library reads otherwise.
func FuzzReader(f *testing.F) {
	f.Add(block(map[int]string{0: "a"}))
	f.Add(join(pax("x", "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=100", "size=515"), block(map[int]string{0: "a"}), padded("2\n10\n2\n50\n1\n"), padded("abc")))
	f.Add(join(pax("x", "path=p", "mtime=1.5", "SCHILY.xattr.user.a=b"), block(map[int]string{0: "a", 124: "00000000003\x00"}), padded("abc")))
	old := block(map[int]string{0: "a", 124: "00000000003\x00", 156: "S", 257: "ustar  \x00", 386: "00000000012 00000000003 ", 483: "00000000144 "})
	f.Add(join(old, padded("abc")))
	f.Fuzz(func(t *testing.T, data []byte) {
		repair(data)
		entries, _, err := readAllEntries(data)
		for _, e := range entries {
			checkPieces(t, e, int64(len(data)))
		}
		if err == nil {
			compareWithStandard(t, data, entries)
		}
	})
}

// repair gives what looks like a header its checksum, so that the fuzzer gets past it.
func repair(data []byte) {
	for at := 0; at+blockSize <= len(data); at += blockSize {
		header := data[at : at+blockSize]
		if !bytes.HasPrefix(header[257:], []byte("ustar")) {
			continue
		}
		copy(header[148:156], "        ")
		sum := 0
		for _, b := range header {
			sum += int(b)
		}
		copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
}

func checkPieces(t *testing.T, e *Entry, archive int64) {
	end := int64(0)
	for _, p := range e.Pieces {
		if p.Size <= 0 || p.Offset < end || p.Size > e.Size-p.Offset || p.At < 0 || p.Size > archive-p.At {
			t.Fatalf("%q of %d bytes: piece %+v outside of the file or the archive of %d bytes", e.Name, e.Size, p, archive)
		}
		end = p.Offset + p.Size
	}
}

// compareWithStandard reads an archive that we can read with archive/tar. Where
// that refuses it, or where it knows global headers differently, nothing is compared.
func compareWithStandard(t *testing.T, data []byte, entries []*Entry) {
	r := tar.NewReader(bytes.NewReader(data))
	for i := 0; ; i++ {
		h, err := r.Next()
		if err != nil {
			if err == io.EOF && i != len(entries) {
				t.Fatalf("%d entries; archive/tar has %d", len(entries), i)
			}
			return
		}
		if h.Typeflag == tar.TypeXGlobalHeader || i >= len(entries) {
			return
		}
		e := entries[i]
		if e.Name != h.Name || e.Link != h.Linkname || e.Type == TypeRegular && e.Size != h.Size || !e.Mtime.Equal(h.ModTime) {
			t.Fatalf("entry %d: %q %q %d %v; archive/tar has %q %q %d %v", i, e.Name, e.Link, e.Size, e.Mtime, h.Name, h.Linkname, h.Size, h.ModTime)
		}
		if e.Type != TypeRegular || e.Size > 1<<20 {
			continue
		}
		want, err := io.ReadAll(r)
		if err != nil {
			return
		}
		got := make([]byte, e.Size)
		for _, p := range e.Pieces {
			copy(got[p.Offset:], data[p.At:p.At+p.Size])
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q: content differs from archive/tar's", e.Name)
		}
	}
}
