package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRecordSizes(t *testing.T) {
	for _, c := range []struct {
		record any
		want   int
	}{
		{superblock{}, superblockSize}, {compactInode{}, compactSize}, {extendedInode{}, extendedSize},
		{dirent{}, direntSize}, {xattrHeader{}, xattrHeaderSize}, {xattrEntry{}, xattrEntrySize},
	} {
		if got := binary.Size(c.record); got != c.want {
			t.Errorf("binary.Size(%T) = %d; want %d", c.record, got, c.want)
		}
	}
}

// described is what a name of a tree says, content and all.
type described struct {
	Mode, Nlink, UID, GID, Rdev uint32
	Size                        int64
	Mtime                       time.Time
	Content                     string // of a file or a link
	Xattrs                      map[string]string
	SameAs                      string // the first of an inode's names
}

// describeTree tells what an image of the tree must say about each path.
func describeTree(t *testing.T, root *Inode) map[string]described {
	t.Helper()
	m, err := Plan(root, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	tree := make(map[string]described)
	var walk func(path string, in *Inode)
	walk = func(path string, in *Inode) {
		n := m.byInode[in]
		d := described{
			Mode: in.Mode, Nlink: n.nlink, UID: in.UID, GID: in.GID, Rdev: in.Rdev, Size: n.size, Mtime: in.Mtime.UTC(),
			Content: in.Target, Xattrs: stringValues(in.Xattrs), SameAs: strings.TrimPrefix("./"+n.path, "./"),
		}
		if n.path == "" {
			d.SameAs = "."
		}
		if in.Open != nil {
			r, err := in.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			d.Content = string(content)
		}
		tree[path] = d
		for name, child := range in.Children {
			walk(strings.TrimPrefix(path+"/"+name, "./"), child)
		}
	}
	walk(".", root)
	return tree
}

func stringValues(xattrs map[string][]byte) map[string]string {
	s := make(map[string]string)
	for name, value := range xattrs {
		s[name] = string(value)
	}
	return s
}

// describeImage reads back what an image says.
func describeImage(t *testing.T, f *FS) map[string]described {
	t.Helper()
	tree, first := make(map[string]described), make(map[uint64]string)
	err := f.Walk(func(path string, s *Stat) error {
		xattrs, err := f.Xattrs(s)
		if err != nil {
			return err
		}
		d := described{
			Mode: s.Mode, Nlink: s.Nlink, UID: s.UID, GID: s.GID, Rdev: s.Rdev, Size: s.Size, Mtime: s.Mtime, Xattrs: stringValues(xattrs),
		}
		switch s.Mode & typeMask {
		case typeRegular:
			content, readErr := fs.ReadFile(f, path)
			d.Content, err = string(content), readErr
		case typeSymlink:
			d.Content, err = f.ReadLink(path)
		}
		if first[s.NID] == "" {
			first[s.NID] = path
		}
		d.SameAs = first[s.NID]
		tree[path] = d
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestReadBack(t *testing.T) {
	root := everything()
	f := open(t, image(t, root))
	want := describeTree(t, root)
	if diff := cmp.Diff(want, describeImage(t, f)); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	inodes := make(map[string]bool)
	for _, d := range want {
		inodes[d.SameAs] = true
	}
	if f.UUID() != testOptions.UUID || !f.BuildTime().Equal(buildTime) || f.Inodes() != uint64(len(inodes)) {
		t.Errorf("UUID %x, build time %v, %d inodes; want %x, %v, %d", f.UUID(), f.BuildTime(), f.Inodes(), testOptions.UUID, buildTime, len(inodes))
	}
}

func TestFSTest(t *testing.T) {
	// fstest.TestFS opens whatever it finds, and hands it to a glob: no broken
	// links, no odd names.
	root := dir(map[string]*Inode{
		"sizes": sizes(), "many": manyEntries(300), "times": times(), "owners": owners(), "nodes": nodes(), "empty": dir(nil),
		"links": dir(map[string]*Inode{"up": symlink("../sizes/4097"), "absolute": symlink("/sizes/1"), "dir": symlink("../sizes")}),
	})
	if err := fstest.TestFS(open(t, image(t, root)), "sizes/4097", "links/up", "empty"); err != nil {
		t.Error(err)
	}
}

func TestDeterministic(t *testing.T) {
	want := image(t, everything())
	m, err := Plan(everything(), testOptions)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var got bytes.Buffer
		if _, err := m.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got.Bytes()) || m.Size() != int64(len(want)) {
			t.Fatal("two images of the same tree differ")
		}
	}
}

// TestSharedBlocks changes one file of two: the blocks of the others must come back.
func TestSharedBlocks(t *testing.T) {
	root := dir(map[string]*Inode{"bin": sizes(), "a": file(noise(5000)), "z": file(noise(50000))})
	old := make(map[[BlockSize]byte]bool)
	for block := range blocksOf(image(t, root)) {
		old[block] = true
	}
	root.Children["a"] = file(noise(90001))
	root.Children["b"] = file(noise(10))
	fresh := 0
	for block := range blocksOf(image(t, root)) {
		if !old[block] {
			fresh++
		}
	}
	// 22 blocks of "a", the superblock, and the blocks of inodes.
	if fresh > 22+1+7 {
		t.Errorf("%d blocks changed", fresh)
	}
}

func blocksOf(img []byte) map[[BlockSize]byte]bool {
	set := make(map[[BlockSize]byte]bool)
	for ; len(img) > 0; img = img[BlockSize:] {
		set[[BlockSize]byte(img)] = true
	}
	return set
}

func TestWriteRefuses(t *testing.T) {
	d := dir(nil)
	with := func(name string, in *Inode) *Inode {
		return dir(map[string]*Inode{"usr": dir(map[string]*Inode{name: in})})
	}
	xattr := func(name string, size int) *Inode {
		f := file(nil)
		f.Xattrs = map[string][]byte{name: make([]byte, size)}
		return with("x", f)
	}
	long := dir(nil)
	deep := long
	for range 2100 {
		deep.Children = map[string]*Inode{"d": dir(nil)}
		deep = deep.Children["d"]
	}
	loop := dir(map[string]*Inode{})
	loop.Children["self"] = loop
	fat := file(nil)
	fat.Xattrs = map[string][]byte{}
	for i := range 5 {
		fat.Xattrs[fmt.Sprintf("user.%d", i)] = make([]byte, 65535)
	}
	closed := errors.New("close: no luck")
	for _, c := range []struct {
		name string
		root *Inode
		want string
	}{
		{"no root", nil, "the root is not a directory"},
		{"root is a file", file(nil), "the root is not a directory"},
		{"long name", with(strings.Repeat("x", 256), d), `usr: entry "xxx`},
		{"slash", with("a/b", d), `usr: entry "a/b": not a file name`},
		{"NUL", with("a\x00", d), "not a file name"},
		{"empty name", with("", d), "not a file name"},
		{"dot", with(".", d), "not a file name"},
		{"dots", with("..", d), "not a file name"},
		{"nil", with("x", nil), "usr/x: nothing under this name"},
		{"mode 0", with("x", &Inode{}), "usr/x: unknown mode 0"},
		{"whiteout type", with("x", &Inode{Mode: 0o160000}), "usr/x: unknown mode 0160000"},
		{"high mode", with("x", &Inode{Mode: typeDir | 1<<20}), "usr/x: unknown mode"},
		{"two names", dir(map[string]*Inode{"a": d, "b": dir(map[string]*Inode{"c": d})}), `b/c: a second name for the directory "a"`},
		{"loop", loop, `self: a second name for the directory ""`},
		{"deep", long, "path of 4097 bytes"},
		{"file with entries", with("x", &Inode{Mode: typeRegular, Children: map[string]*Inode{}}), "usr/x: entries in what is not"},
		{"empty link", with("x", symlink("")), "usr/x: link target of 0 bytes"},
		{"long link", with("x", symlink(strings.Repeat("t", 4096))), "usr/x: link target of 4096 bytes"},
		{"NUL in link", with("x", symlink("a\x00b")), "usr/x: link target"},
		{"negative size", with("x", &Inode{Mode: typeRegular, Size: -1}), "usr/x: size of -1"},
		{"huge", with("x", &Inode{Mode: typeRegular, Size: math.MaxInt64}), "usr/x: size of"},
		{"too large together", dir(map[string]*Inode{"a": huge(), "b": huge()}), "blocks, at most 4294967295"},
		{"no content", with("x", &Inode{Mode: typeRegular, Size: 1}), "usr/x: no content"},
		{"short", with("x", wrongSize(10, 20)), "usr/x: content ends after 10 of 20 bytes"},
		{"long", with("x", wrongSize(21, 20)), "usr/x: content is longer than 20 bytes"},
		{"short in blocks", with("x", wrongSize(9999, 10000)), "usr/x: content ends after 9999 of 10000 bytes"},
		{"long in blocks", with("x", wrongSize(10001, 10000)), "usr/x: content is longer than 10000 bytes"},
		{"does not open", with("x", &Inode{Mode: typeRegular, Size: 1, Open: func() (io.ReadCloser, error) { return nil, fs.ErrPermission }}), "usr/x: permission denied"},
		{"does not close", with("x", &Inode{Mode: typeRegular, Size: 1, Open: func() (io.ReadCloser, error) { return badCloser{strings.NewReader("x"), closed}, nil }}), "usr/x: close: no luck"},
		{"name space", xattr("system.other", 1), `usr/x: extended attribute "system.other": EROFS has no place`},
		{"more than an ACL", xattr("system.posix_acl_access.x", 1), "no place"},
		{"only a prefix", xattr("security.", 1), "no place"},
		{"value", xattr("user.x", 65536), "value of 65536 bytes"},
		{"attribute's name", xattr("user."+strings.Repeat("x", 251), 1), "name of 256 bytes"},
		{"too many", with("x", fat), "usr/x: 327712 bytes of extended attributes"},
	} {
		_, err := Write(io.Discard, c.root, testOptions)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Write(%s) = %v; want an error with %q", c.name, err, c.want)
		}
	}
	if _, err := Plan(dir(nil), Options{Label: "seventeen letters"}); err == nil {
		t.Error("Plan(long label) gave no error")
	}
}

func huge() *Inode {
	return &Inode{Mode: typeRegular, Size: maxBlocks * BlockSize / 2, Open: func() (io.ReadCloser, error) { return nil, io.EOF }}
}

// wrongSize returns a file that claims another size than its content has.
func wrongSize(is, claimed int) *Inode {
	f := file(noise(is))
	f.Size = int64(claimed)
	return f
}

type badCloser struct {
	io.Reader
	err error
}

func (b badCloser) Close() error { return b.err }

// failingWriter fails after so many bytes.
type failingWriter int

func (w *failingWriter) Write(p []byte) (int, error) {
	if *w -= failingWriter(len(p)); *w < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWriteReportsTheWriter(t *testing.T) {
	root := dir(map[string]*Inode{"a": file(noise(1 << 20)), "b": file(noise(100)), "c": manyEntries(500)})
	for size := len(image(t, root)) - 1; size > 0; size -= 100_000 {
		w := failingWriter(size)
		if _, err := Write(&w, root, testOptions); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Write to a writer of %d bytes = %v; want %v", size, err, io.ErrClosedPipe)
		}
	}
}

func TestManyNames(t *testing.T) {
	entries, shared := make(map[string]*Inode), file([]byte("x"))
	for i := range 66000 {
		entries[fmt.Sprint(i)] = shared
	}
	info, err := open(t, image(t, dir(entries))).Stat("65999")
	if err != nil || info.Sys().(*Stat).Nlink != 66000 {
		t.Errorf("Stat = %+v, %v; want 66000 links", info, err)
	}
}

// TestLargeFile writes more than 4 GiB through a fixed amount of memory and
// looks at the end of it.
func TestLargeFile(t *testing.T) {
	const size = 4<<30 + 5
	large := file(nil)
	large.Size, large.Open = size, func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, size-3), strings.NewReader("end"))), nil
	}
	var before, after runtime.MemStats
	disk := &sparse{blocks: make(map[int64][]byte)}
	runtime.ReadMemStats(&before)
	if _, err := Write(disk, dir(map[string]*Inode{"large": large}), testOptions); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("Write took %d bytes of memory", grown)
	}
	f, err := Open(disk, disk.size)
	if err != nil {
		t.Fatal(err)
	}
	content, err := f.Open("large")
	if err != nil {
		t.Fatal(err)
	}
	var end [8]byte
	if _, err := content.(io.ReaderAt).ReadAt(end[:], size-8); err != nil || string(end[:]) != "\x00\x00\x00\x00\x00end" {
		t.Errorf("end of the file = %q, %v", end, err)
	}
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// sparse is a disk in memory that keeps only blocks that are not zero. It is
// written from first byte to last, in whole blocks.
type sparse struct {
	blocks map[int64][]byte
	size   int64
}

func (s *sparse) Write(p []byte) (int, error) {
	var zero [BlockSize]byte
	for rest := p; len(rest) > 0; rest = rest[BlockSize:] {
		if !bytes.Equal(rest[:BlockSize], zero[:]) {
			s.blocks[s.size] = bytes.Clone(rest[:BlockSize])
		}
		s.size += BlockSize
	}
	return len(p), nil
}

func (s *sparse) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		block, within := at/BlockSize*BlockSize, int(at%BlockSize)
		k := min(len(p)-n, BlockSize-within)
		if clear(p[n : n+k]); s.blocks[block] != nil {
			copy(p[n:n+k], s.blocks[block][within:])
		}
		n += k
	}
	return n, nil
}
