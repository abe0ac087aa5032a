package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// small returns a tree whose image the tests below damage.
func small() *Inode {
	tagged := file(noise(100))
	tagged.Xattrs = map[string][]byte{"user.tag": []byte("value")}
	return dir(map[string]*Inode{
		"bin": dir(map[string]*Inode{"big": file(noise(9000)), "tagged": tagged, "link": symlink("big")}),
		"etc": dir(map[string]*Inode{"a": dir(nil), "b": dir(nil)}),
		"nul": {Mode: typeChar | 0o666, Rdev: 1<<8 | 3, Mtime: buildTime},
	})
}

// put overwrites bytes of an image with the bytes of a record.
func put(img []byte, off int64, record any) { copy(img[off:], encode(record)) }

// resealed gives the superblock a correct checksum.
func resealed(img []byte) []byte {
	binary.LittleEndian.PutUint32(img[superOffset+4:], 0)
	binary.LittleEndian.PutUint32(img[superOffset+4:], checksum(img[superOffset:BlockSize]))
	return img
}

func TestOpenRefuses(t *testing.T) {
	good := image(t, small())
	for _, c := range []struct {
		name   string
		change func(img []byte) []byte
		want   string
	}{
		{"nothing", func(img []byte) []byte { return nil }, "0 bytes are too few"},
		{"half a block", func(img []byte) []byte { return img[:2048] }, "2048 bytes are too few"},
		{"magic", func(img []byte) []byte { img[superOffset]++; return img }, "magic number"},
		{"checksum", func(img []byte) []byte { img[superOffset+4]++; return img }, "checksum"},
		{"behind the superblock", func(img []byte) []byte { img[BlockSize-1]++; return img }, "checksum"},
		{"block size", func(img []byte) []byte { img[superOffset+12] = 13; return resealed(img) }, "blocks of 2^13 bytes"},
		{"feature", func(img []byte) []byte { img[superOffset+80] = 0x22; return resealed(img) }, "features 0x22"},
		{"device", func(img []byte) []byte { img[superOffset+86] = 1; return resealed(img) }, "1 extra devices"},
		{"directory blocks", func(img []byte) []byte { img[superOffset+90] = 1; return resealed(img) }, "directory blocks"},
		{"truncated", func(img []byte) []byte { return img[:len(img)-1] }, "are there"},
		{"root elsewhere", func(img []byte) []byte { img[superOffset+15] = 0xff; return resealed(img) }, "lies outside"},
		{"root is a file", func(img []byte) []byte { img[BlockSize+5] = 0x81; return img }, "root is not a directory"},
	} {
		img := c.change(bytes.Clone(good))
		if _, err := Open(bytes.NewReader(img), int64(len(img))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%s) = %v; want an error with %q", c.name, err, c.want)
		}
	}
	if _, err := Open(bytes.NewReader(good), int64(len(good))+1); err != nil {
		t.Errorf("Open(image with a byte behind it) = %v", err)
	}
	if _, err := Open(bytes.NewReader(good[:BlockSize+10]), int64(len(good))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Open(reader shorter than its size) = %v; want %v", err, io.ErrUnexpectedEOF)
	}
}

// TestDamagedInode changes the inode of bin/big, in its compact form.
func TestDamagedInode(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*compactInode)
		want   string
	}{
		{"compressed", func(i *compactInode) { i.Format = layoutCompressed << 1 }, "compressed inode"},
		{"compressed compactly", func(i *compactInode) { i.Format = layoutCompressedCompact << 1 }, "compressed inode"},
		{"chunks", func(i *compactInode) { i.Format = layoutChunks << 1 }, "of chunks: unsupported"},
		{"layout", func(i *compactInode) { i.Format = 5 << 1 }, "unknown format 0xa"},
		{"format", func(i *compactInode) { i.Format = 1 << 8 }, "unknown format"},
		{"block", func(i *compactInode) { i.Data = 1 << 20 }, "ends outside"},
		{"size", func(i *compactInode) { i.Size = 1 << 30 }, "ends outside"},
		{"mode", func(i *compactInode) { i.Mode = 0o160000 }, "unknown mode"},
		{"type", func(i *compactInode) { i.Mode = typeFIFO }, "differ in type"},
		{"attributes", func(i *compactInode) { i.XattrCount = 60000 }, "ends outside"},
		{"inline tail", func(i *compactInode) { i.Format, i.Size = layoutInline<<1, 8191 }, "crosses the end"},
	} {
		img := image(t, small())
		var inode compactInode
		pos := inodeOf(t, img, "bin/big").pos
		if _, err := binary.Decode(img[pos:], binary.LittleEndian, &inode); err != nil {
			t.Fatal(err)
		}
		c.change(&inode)
		put(img, pos, inode)
		if _, err := open(t, img).Stat("bin/big"); !mentions(err, c.want) {
			t.Errorf("Stat(%s) = %v; want an error with %q", c.name, err, c.want)
		}
		if err := open(t, img).Walk(func(string, *Stat) error { return nil }); !mentions(err, c.want) || !mentions(err, "bin: ") {
			t.Errorf("Walk(%s) = %v; want an error with %q", c.name, err, c.want)
		}
	}
}

func mentions(err error, want string) bool {
	return aboutImage(err) && strings.Contains(err.Error(), want)
}

// aboutImage tells whether an error blames the image.
func aboutImage(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, errors.ErrUnsupported)
}

func inodeOf(t *testing.T, img []byte, path string) *inode {
	t.Helper()
	in, _, err := open(t, img).resolve(path, false)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestDamagedDirectory rewrites the entries of etc: ".", "..", "a", "b".
func TestDamagedDirectory(t *testing.T) {
	good := image(t, small())
	root, bin, etc := inodeOf(t, good, "."), inodeOf(t, good, "bin"), inodeOf(t, good, "etc")
	a, b := inodeOf(t, good, "etc/a"), inodeOf(t, good, "etc/b")
	for _, c := range []struct {
		name    string
		names   []string
		entries map[string]uint64
		want    string
	}{
		{"as it was", []string{".", "..", "a", "b"}, nil, ""},
		{"itself", []string{".", "..", "a", "b"}, map[string]uint64{"b": etc.NID}, "second name"},
		{"its parent", []string{".", "..", "a", "b"}, map[string]uint64{"b": root.NID}, `".." is inode`},
		{"two names", []string{".", "..", "a", "b"}, map[string]uint64{"b": a.NID}, "second name"},
		{"another's", []string{".", "..", "a", "b"}, map[string]uint64{"b": bin.NID}, `".." is inode`},
		{"order", []string{".", "..", "b", "a"}, nil, "out of order"},
		{"twice", []string{".", "..", "a", "a"}, nil, "out of order"},
		{"slash", []string{".", "..", "a", "/"}, nil, "not a file name"},
		{"no parent", []string{".", "a", "b", "c"}, map[string]uint64{"c": bin.NID}, `without "." or ".."`},
		{"wrong self", []string{".", "..", "a", "b"}, map[string]uint64{".": a.NID}, `"." is inode`},
		{"wrong parent", []string{".", "..", "a", "b"}, map[string]uint64{"..": a.NID}, `".." is inode`},
		{"nowhere", []string{".", "..", "a", "b"}, map[string]uint64{"b": 1 << 60}, "outside"},
	} {
		nids := map[string]uint64{".": etc.NID, "..": root.NID, "a": a.NID, "b": b.NID, "/": b.NID}
		for name, nid := range c.entries {
			nids[name] = nid
		}
		img := bytes.Clone(good)
		copy(img[etc.tailPos:], encodeDir(c.names, func(name string) (uint64, uint32) { return nids[name], typeDir }))
		err := open(t, img).Walk(func(string, *Stat) error { return nil })
		if c.want == "" && err != nil || c.want != "" && !mentions(err, c.want) {
			t.Errorf("Walk(%s) = %v; want an error with %q", c.name, err, c.want)
		}
		walked := fs.WalkDir(open(t, img), ".", func(_ string, _ fs.DirEntry, err error) error { return err })
		if (walked == nil) != (err == nil) {
			t.Errorf("fs.WalkDir(%s) = %v; Walk = %v", c.name, walked, err)
		}
	}
}

func TestResolve(t *testing.T) {
	root := small()
	for name, target := range map[string]string{
		"one": "two", "two": "one", "deep": "bin/../bin/./link", "over": "../../bin/big", "abs": "/bin/link",
		"self": ".", "broken": "bin/nothing", "through": "bin/big/x",
	} {
		root.Children[name] = symlink(target)
	}
	chain := root.Children["bin"].Children
	chain["c0"] = symlink("big")
	for i := range maxHops {
		chain["c"+string(rune('1'+i))] = symlink("c" + string(rune('0'+i)))
	}
	f := open(t, image(t, root))
	for _, c := range []struct {
		name string
		size int64
		want error
	}{
		{"bin/big", 9000, nil}, {"bin/link", 9000, nil}, {"deep", 9000, nil}, {"over", 9000, nil}, {"abs", 9000, nil},
		{"self/self/bin/big", 9000, nil}, {"bin/c" + string(rune('0'+maxHops-1)), 9000, nil},
		{"bin/c" + string(rune('0'+maxHops)), 0, syscall.ELOOP},
		{"one", 0, syscall.ELOOP}, {"broken", 0, fs.ErrNotExist}, {"through", 0, syscall.ENOTDIR}, {"bin/big/x", 0, syscall.ENOTDIR},
		{"/bin", 0, fs.ErrInvalid}, {"bin/", 0, fs.ErrInvalid}, {"../bin", 0, fs.ErrInvalid}, {"", 0, fs.ErrInvalid},
		{"zzz", 0, fs.ErrNotExist}, {"!", 0, fs.ErrNotExist}, {strings.Repeat("a/", maxPath), 0, fs.ErrInvalid},
	} {
		info, err := f.Stat(c.name)
		if !errors.Is(err, c.want) || err == nil && info.Size() != c.size {
			t.Errorf("Stat(%.40q) = %v, %v; want %d, %v", c.name, info, err, c.size, c.want)
		}
	}
	if _, err := f.ReadLink("bin/big"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadLink(file) = %v; want %v", err, fs.ErrInvalid)
	}
	if _, err := f.ReadDir("bin/big"); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("ReadDir(file) = %v; want %v", err, syscall.ENOTDIR)
	}
	stop := errors.New("stop")
	if err := f.Walk(func(path string, _ *Stat) error { return stop }); err != stop {
		t.Errorf("Walk = %v; want %v", err, stop)
	}
}

// TestDescribe asks for the owner of bytes whose place is known by their content.
func TestDescribe(t *testing.T) {
	img := image(t, small())
	f := open(t, img)
	at := func(needle []byte) int64 { return int64(bytes.Index(img, needle)) }
	big := at(noise(9000))
	for _, c := range []struct {
		offset int64
		want   string
	}{
		{-1, "outside of the file system"},
		{0, "unused bytes before the superblock"},
		{superOffset, "superblock"},
		{superOffset + superblockSize, "padding"},
		{BlockSize, "inode of ."},
		{BlockSize + compactSize, "directory ."},
		{inodeOf(t, img, "bin/big").pos + 31, "inode of bin/big"},
		{inodeOf(t, img, "nul").pos + 5, "inode of nul"},
		{inodeOf(t, img, "bin/link").tailPos, "target of bin/link"},
		{inodeOf(t, img, "bin/link").tailPos + 3, "padding"},
		{at([]byte("tagvalue")), "extended attributes of bin/tagged"},
		{at(noise(100)), "data of bin/tagged"},
		{big, "data of bin/big"},
		{big + 8999, "data of bin/big"},
		{big + 9000, "padding"},
		{f.Size() - 1, "padding"},
		{f.Size(), "outside of the file system"},
	} {
		if got := f.Describe(c.offset); got != c.want {
			t.Errorf("Describe(%d) = %q; want %q", c.offset, got, c.want)
		}
	}
	img[inodeOf(t, img, "bin/big").pos+5] = 0
	if got := open(t, img).Describe(f.Size() - 1); !strings.HasPrefix(got, "unknown: bin: big: corrupt") {
		t.Errorf("Describe in a damaged image = %q", got)
	}
}

func TestDamagedXattrs(t *testing.T) {
	good := image(t, small())
	tagged := inodeOf(t, good, "bin/tagged")
	first := tagged.xattrPos + xattrHeaderSize
	for _, c := range []struct {
		name   string
		offset int64
		value  byte
		want   string
	}{
		{"shared count", tagged.xattrPos + 4, 200, "200 shared attributes"},
		{"shared elsewhere", tagged.xattrPos + 4, 1, "outside"}, // the first entry's bytes are no number
		{"name too long", first, 255, "attribute of"},
		{"value too long", first + 3, 1, "attribute of"},
		{"no name space", first + 1, 0, "unknown name space 0"},
		{"unknown name space", first + 1, 5, "unknown name space 5"},
		{"long prefix", first + 1, 0x81, "unknown name space 129"},
	} {
		img := bytes.Clone(good)
		img[c.offset] = c.value
		if _, err := open(t, img).Xattrs(&tagged.Stat); !mentions(err, c.want) {
			t.Errorf("Xattrs(%s) = %v; want an error with %q", c.name, err, c.want)
		}
	}
	if _, err := open(t, good).Xattrs(&Stat{NID: 1 << 62}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Xattrs(no inode) = %v; want %v", err, ErrCorrupt)
	}
}

// FuzzFS damages an image in a few places and looks at everything in it. An
// edit is an offset (2 bytes, in units of 4), a length (1 byte) and that many
// bytes: small inputs fuzz quickly.
func FuzzFS(f *testing.F) {
	root := small()
	for i := range 20 { // a directory of two blocks
		root.Children[strings.Repeat(string(rune('a'+i)), 240)] = root.Children["nul"]
	}
	good := image(f, root)
	f.Add([]byte{})
	f.Add([]byte{0, 4, 2, 4, 0, 8, 4, 4, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, edits []byte) {
		img := bytes.Clone(good)
		for len(edits) > 3 {
			off, n := int(binary.LittleEndian.Uint16(edits))*4, int(edits[2])
			edits = edits[3:]
			copy(img[min(off, len(img)):], edits[:min(n, len(edits))])
			edits = edits[min(n, len(edits)):]
		}
		img = resealed(img)
		fsys, err := Open(bytes.NewReader(img), int64(len(img)))
		if err == nil {
			lookAtEverything(t, fsys)
		}
	})
}

func lookAtEverything(t *testing.T, f *FS) {
	var read int64
	err := f.Walk(func(path string, s *Stat) error {
		_, _ = f.Xattrs(s)
		_, _ = f.ReadLink(path)
		if s.Mode&typeMask != typeRegular || read > 1<<22 {
			return nil
		}
		content, err := fs.ReadFile(f, path)
		if err != nil || int64(len(content)) != s.Size {
			t.Errorf("%s: read %d of %d bytes: %v", path, len(content), s.Size, err)
		}
		read += s.Size
		return nil
	})
	if err != nil && !aboutImage(err) {
		t.Errorf("Walk = %v; want an error that blames the image", err)
	}
	walked := fs.WalkDir(f, ".", func(_ string, _ fs.DirEntry, err error) error { return err })
	if (walked == nil) != (err == nil) {
		t.Errorf("fs.WalkDir = %v; Walk = %v", walked, err)
	}
	_ = f.Describe(f.Size() - 1)
}

func TestIs(t *testing.T) {
	img := image(t, small())
	for _, c := range []struct {
		name  string
		bytes []byte
		want  bool
	}{
		{"image", img, true}, {"up to the magic number", img[:superOffset+4], true}, {"cut within it", img[:superOffset+3], false},
		{"nothing", nil, false}, {"zeros", make([]byte, 4096), false},
	} {
		if got := Is(bytes.NewReader(c.bytes)); got != c.want {
			t.Errorf("Is(%s) = %t; want %t", c.name, got, c.want)
		}
	}
}

func TestDevice(t *testing.T) {
	for rdev, want := range map[uint32][2]uint32{0: {0, 0}, 1<<8 | 3: {1, 3}, 7<<8 | 255: {7, 255}, 0xfff<<8 | 0x45 | 0x123<<20: {0xfff, 0x12345}} {
		if major, minor := (&Stat{Rdev: rdev}).Device(); [2]uint32{major, minor} != want {
			t.Errorf("device %#x is %d:%d; want %d:%d", rdev, major, minor, want[0], want[1])
		}
	}
}
