package erofs

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	buildTime   = time.Unix(1_750_000_000, 0).UTC()
	testOptions = Options{
		UUID:      [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10},
		BuildTime: buildTime,
		Label:     "ketch-test",
	}
)

// file returns a regular file with this content.
func file(content []byte) *Inode {
	return &Inode{
		Mode: typeRegular | 0o644, Mtime: buildTime, Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

func dir(children map[string]*Inode) *Inode {
	return &Inode{Mode: typeDir | 0o755, Mtime: buildTime, Children: children}
}

func symlink(target string) *Inode {
	return &Inode{Mode: typeSymlink | 0o777, Mtime: buildTime, Target: target}
}

// noise returns n bytes that depend on n only.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

// capability is a security.capability of version 2: cap_net_raw=ep.
var capability = []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// acl is a POSIX ACL as system.posix_acl_access carries it: u::rw-, u:1000:r--, g::r--, m::r--, o::---.
var acl = []byte{
	2, 0, 0, 0,
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	2, 0, 4, 0, 0xe8, 3, 0, 0,
	4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
}

// everything returns a tree with each kind of thing that a tree can hold.
func everything() *Inode {
	shared := file([]byte("one inode, three names\n"))
	root := map[string]*Inode{
		"sizes": sizes(), "links": links(), "many": manyEntries(3000), "xattrs": withXattrs(), "times": times(),
		"owners": owners(), "nodes": nodes(), "random": randomTree(rand.New(rand.NewPCG(1, 2)), 4),
		"empty": dir(nil), "hard1": shared, "!first": file([]byte("sorts before the dots")),
		"hard":                       dir(map[string]*Inode{"2": shared, "3": shared}),
		strings.Repeat("n", maxName): file([]byte("long name")),
		"ümläut ☃ \n\\ \xff":         file([]byte("odd name")),
	}
	return dir(root)
}

func sizes() *Inode {
	files := make(map[string]*Inode)
	for _, n := range []int{0, 1, 31, 32, 2047, 2048, 2049, 4063, 4064, 4065, 4095, 4096, 4097, 6000, 8192, 8193, 1 << 20, 1<<20 + 7} {
		files[fmt.Sprint(n)] = file(noise(n))
	}
	files["zeros"] = file(make([]byte, 1<<16))
	return dir(files)
}

func links() *Inode {
	entries := make(map[string]*Inode)
	for _, n := range []int{1, 2, 31, 60, 2047, 2048, 2049, 4000, 4031, 4032, 4094, 4095} {
		entries[fmt.Sprint(n)] = symlink(strings.Repeat("t", n))
	}
	entries["up"] = symlink("../sizes/4097")
	entries["absolute"] = symlink("/sizes/1")
	entries["climber"] = symlink("../../../../sizes")
	return dir(entries)
}

func manyEntries(n int) *Inode {
	entries := make(map[string]*Inode)
	for i := range n {
		entries[fmt.Sprintf("entry-%d-%s", i*7919%n, strings.Repeat("x", i%40))] = file([]byte{byte(i)})
	}
	for i := range 20 {
		entries[fmt.Sprintf("dir-%d", i)] = dir(nil)
	}
	return dir(entries)
}

func withXattrs() *Inode {
	sets := map[string]map[string][]byte{
		"capability": {"security.capability": capability},
		"acl":        {"system.posix_acl_access": acl},
		"user":       {"user.a": []byte("1"), "user.bb": []byte("22"), "user.ccc": {}, "trusted.overlay.opaque": []byte("y")},
		"large":      {"user.large": noise(5000), "user.larger": noise(20000)},
		"edge":       {"user.edge": noise(BlockSize - 32 - 12 - 4 - 4)}, // inode and attributes fill one block
	}
	entries := make(map[string]*Inode)
	for name, xattrs := range sets {
		for _, size := range []int{0, 100, 3000, 5000} {
			f := file(noise(size))
			f.Xattrs = xattrs
			entries[fmt.Sprintf("%s-%d", name, size)] = f
		}
	}
	link := symlink("capability-0")
	link.Xattrs = map[string][]byte{"trusted.t": noise(3000)}
	entries["link"] = link
	d := dir(map[string]*Inode{"x": file(nil)})
	d.Xattrs = map[string][]byte{"system.posix_acl_default": acl, "trusted.d": []byte("d")}
	entries["dir"] = d
	return dir(entries)
}

func times() *Inode {
	entries := make(map[string]*Inode)
	for name, t := range map[string]time.Time{
		"1901": time.Unix(-1<<31, 0), "1969": time.Unix(-1, 999_999_999), "1970": time.Unix(0, 0), "nsec": time.Unix(1_700_000_000, 123_456_789),
		"2038": time.Unix(1<<31, 1), "2106": time.Unix(1<<32+5, 0), "2400": time.Unix(13_600_000_000, 0), "build": buildTime,
	} {
		f := file([]byte(name))
		f.Mtime = t
		entries[name] = f
	}
	return dir(entries)
}

func owners() *Inode {
	entries := make(map[string]*Inode)
	for _, id := range []uint32{0, 1, 1000, 65534, 65535, 65536, 1 << 31, 1<<32 - 2} {
		f := file(noise(100))
		f.UID, f.GID = id, id/2+1
		entries[fmt.Sprint(id)] = f
	}
	for _, mode := range []uint32{0o4755, 0o2755, 0o1777, 0o7777, 0, 0o111} {
		f := file(nil)
		f.Mode = typeRegular | mode
		entries[fmt.Sprintf("mode-%o", mode)] = f
	}
	return dir(entries)
}

func nodes() *Inode {
	entries := make(map[string]*Inode)
	for name, n := range map[string]Inode{
		"null": {Mode: typeChar | 0o666, Rdev: 1<<8 | 3}, "loop": {Mode: typeBlock | 0o660, Rdev: 7<<8 | 255},
		"large": {Mode: typeChar | 0o600, Rdev: 0xfff<<8 | 0x45 | 0x123<<20},
		"fifo":  {Mode: typeFIFO | 0o644}, "socket": {Mode: typeSocket | 0o755},
	} {
		n.Mtime = buildTime
		entries[name] = &n
	}
	return dir(entries)
}

// randomTree returns a tree of small files, directories and links.
func randomTree(r *rand.Rand, depth int) *Inode {
	entries := make(map[string]*Inode)
	for range 3 + r.IntN(8) {
		name := fmt.Sprintf("%x", noise(1+r.IntN(12)))[:1+r.IntN(2)] + fmt.Sprint(r.IntN(100))
		switch k := r.IntN(10); {
		case k < 3 && depth > 0:
			entries[name] = randomTree(r, depth-1)
		case k < 5:
			entries[name] = symlink(strings.Repeat("../", r.IntN(5)) + name)
		default:
			f := file(noise(r.IntN(12000)))
			f.Mtime = time.Unix(r.Int64N(1<<33), r.Int64N(1e9))
			entries[name] = f
		}
	}
	return dir(entries)
}

// image writes a tree and returns the image.
func image(t testing.TB, root *Inode) []byte {
	t.Helper()
	var b bytes.Buffer
	size, err := Write(&b, root, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if size != int64(b.Len()) || size%BlockSize != 0 {
		t.Fatalf("Write returned %d; wrote %d bytes", size, b.Len())
	}
	return b.Bytes()
}

// open opens an image in memory.
func open(t testing.TB, img []byte) *FS {
	t.Helper()
	f, err := Open(bytes.NewReader(img), int64(len(img)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
