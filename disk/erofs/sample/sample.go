// Package sample makes a tree with each kind of thing that EROFS can hold, for
// tests that compare readers: ours, other people's, and kernels.
package sample

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ketch-os/ketch/disk/erofs"
)

// File types and mode bits of stat(2).
const (
	socket  = 0o140000
	symlink = 0o120000
	regular = 0o100000
	block   = 0o060000
	dir     = 0o040000
	char    = 0o020000
	fifo    = 0o010000
)

// Built is the time of most files, and of the image.
func Built() time.Time { return time.Unix(1_750_000_000, 123_456_789).UTC() }

// Options are those of an image of the tree.
func Options() erofs.Options {
	return erofs.Options{UUID: [16]byte{0x5a, 1, 2, 3, 4, 5, 0x86, 7, 0x88, 9, 10, 11, 12, 13, 14, 15}, BuildTime: Built(), Label: "sample"}
}

// Tree is the tree, the same on each call.
func Tree() *erofs.Inode {
	shared := file(text("one inode, five names"))
	shared.Xattrs = map[string][]byte{"security.capability": Capability()}
	linked := node(symlink|0o777, erofs.Inode{Target: "files/4097"})
	return directory(map[string]*erofs.Inode{
		"files": files(), "sparse": sparse(), "links": links(), "times": times(), "owners": owners(), "modes": modes(),
		"nodes": nodes(), "names": names(), "many": many(), "xattrs": xattrs(), "deep": deep(40), "empty": directory(nil),
		"hard": directory(map[string]*erofs.Inode{"a": shared, "b": shared, "other": directory(map[string]*erofs.Inode{"c": shared}),
			"link": linked, "link2": linked}),
		"hard1": shared, "hard2": shared,
	})
}

// Capability is a security.capability of version 2: cap_net_raw=ep.
func Capability() []byte {
	value := make([]byte, 20)
	binary.LittleEndian.PutUint32(value, 0x0200_0001) // version 2, effective
	binary.LittleEndian.PutUint32(value[4:], 1<<13)
	return value
}

func node(mode uint32, in erofs.Inode) *erofs.Inode {
	in.Mode = mode
	if in.Mtime.IsZero() {
		in.Mtime = Built()
	}
	return &in
}

func directory(children map[string]*erofs.Inode) *erofs.Inode {
	return node(dir|0o755, erofs.Inode{Children: children})
}

func file(content []byte) *erofs.Inode {
	return node(regular|0o644, erofs.Inode{Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}})
}

func text(s string) []byte { return []byte(s + "\n") }

// noise is n bytes that depend on n only.
func noise(n int) []byte {
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(content)
	return content
}

// files have the sizes around which the place of data changes.
func files() *erofs.Inode {
	entries := map[string]*erofs.Inode{}
	for _, n := range []int{0, 1, 31, 32, 2047, 2048, 2049, 4063, 4064, 4065, 4095, 4096, 4097, 8191, 8192, 8193, 1<<20 - 1, 1 << 20, 3<<20 + 7} {
		entries[fmt.Sprint(n)] = file(noise(n))
	}
	return directory(entries)
}

// sparse files are zeros with little in between.
func sparse() *erofs.Inode {
	zeros, middle := make([]byte, 1<<20), make([]byte, 1<<20)
	copy(middle[1<<19:], "not zero")
	return directory(map[string]*erofs.Inode{"zeros": file(zeros), "middle": file(middle), "end": file(append(make([]byte, 1<<18), 1))})
}

// links have targets of all lengths up to 300 and of those at the ends of what is stored where.
func links() *erofs.Inode {
	entries := map[string]*erofs.Inode{}
	add := func(n int) {
		target := strings.Repeat("../t/x", n/6+1)[:n]
		entries[fmt.Sprint(n)] = node(symlink|0o777, erofs.Inode{Target: target})
	}
	for n := 1; n <= 300; n++ {
		add(n)
	}
	for _, n := range []int{2047, 2048, 2049, 4000, 4031, 4032, 4033, 4063, 4064, 4094, 4095} {
		add(n)
	}
	for name, target := range map[string]string{"up": "../files/4097", "absolute": "/files/1", "out": "../../../../../etc/passwd", "loop": "loop", "nothing": "no such file", "chain": "up"} {
		entries[name] = node(symlink|0o777, erofs.Inode{Target: target})
	}
	return directory(entries)
}

func times() *erofs.Inode {
	entries := map[string]*erofs.Inode{}
	for name, at := range map[string]time.Time{
		"1901": time.Unix(-1<<31, 0), "1969": time.Unix(-1, 999_999_999), "1970": time.Unix(0, 0), "nanosecond": time.Unix(1_700_000_000, 1),
		"2038": time.Unix(1<<31, 1), "2106": time.Unix(1<<32+5, 0), "2400": time.Unix(13_600_000_000, 0), "built": Built(),
	} {
		f := file(text(name))
		f.Mtime = at.UTC()
		entries[name] = f
	}
	d := directory(map[string]*erofs.Inode{"x": file(nil)})
	d.Mtime = time.Unix(-86400, 5).UTC()
	entries["dir"] = d
	return directory(entries)
}

func owners() *erofs.Inode {
	entries := map[string]*erofs.Inode{}
	for _, id := range []uint32{0, 1, 1000, 65534, 65535, 65536, 1 << 31, 1<<32 - 2} {
		f := file(noise(100))
		f.UID, f.GID = id, id/2+1
		entries[fmt.Sprint(id)] = f
	}
	link := node(symlink|0o777, erofs.Inode{Target: "1000", UID: 70000, GID: 70001})
	entries["link"] = link
	return directory(entries)
}

func modes() *erofs.Inode {
	entries := map[string]*erofs.Inode{}
	for _, mode := range []uint32{0, 0o111, 0o644, 0o755, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777} {
		entries[fmt.Sprintf("file-%04o", mode)] = node(regular|mode, erofs.Inode{UID: 7, GID: 8})
		entries[fmt.Sprintf("dir-%04o", mode)] = node(dir|mode, erofs.Inode{Children: map[string]*erofs.Inode{"x": file(nil)}})
	}
	return directory(entries)
}

func nodes() *erofs.Inode {
	return directory(map[string]*erofs.Inode{
		"null": node(char|0o666, erofs.Inode{Rdev: 1<<8 | 3}), "loop": node(block|0o660, erofs.Inode{Rdev: 7<<8 | 255, GID: 6}),
		"large": node(char|0o600, erofs.Inode{Rdev: 0xfff<<8 | 0x45 | 0x123<<20}),
		"fifo":  node(fifo|0o644, erofs.Inode{}), "socket": node(socket|0o755, erofs.Inode{}),
	})
}

func names() *erofs.Inode {
	entries := map[string]*erofs.Inode{
		"!first": file(text("sorts before the dots")), "...": file(text("dots")), ".hidden": file(nil), "-rf": file(nil),
		"line\nfeed": file(text("odd")), "blank at the end ": file(text("odd")), "\x01\x7f": file(nil),
		"ümläut ☃": file(text("UTF-8")), "\xff\xfe": file(text("not UTF-8")), `back\slash`: file(nil),
	}
	for _, n := range []int{100, 101, 254, 255} {
		entries[strings.Repeat("n", n)] = file(text(fmt.Sprint(n)))
	}
	return directory(entries)
}

// many makes a directory of more than 64 KiB, and one whose blocks are full to the last byte.
func many() *erofs.Inode {
	entries := map[string]*erofs.Inode{}
	for i := range 1500 {
		entries[fmt.Sprintf("entry-%d-%s", i*7919%1500, strings.Repeat("x", i%60))] = file([]byte{byte(i)})
	}
	full := map[string]*erofs.Inode{}
	for i := range 256 { // 12 bytes of entry and 52 of name: 64 to a block of 4096
		full[fmt.Sprintf("%052d", i)] = file(nil)
	}
	entries["full"] = directory(full)
	return directory(entries)
}

func xattrs() *erofs.Inode {
	sets := map[string]map[string][]byte{
		"capability": {"security.capability": Capability()},
		"several":    {"user.a": []byte("1"), "user.empty": {}, "trusted.overlay.opaque": []byte("y"), "security.ima": noise(40)},
		"long":       {"user." + strings.Repeat("n", 250): []byte("a name as long as it may be")},
		"large":      {"user.large": noise(5000), "user.larger": noise(20000)},
	}
	entries := map[string]*erofs.Inode{}
	for name, set := range sets {
		for _, size := range []int{0, 100, 3000, 5000} {
			f := file(noise(size))
			f.Xattrs = maps.Clone(set)
			entries[fmt.Sprintf("%s-%d", name, size)] = f
		}
	}
	d := directory(map[string]*erofs.Inode{"x": file(nil)})
	d.Xattrs = map[string][]byte{"user.d": []byte("directory"), "trusted.d": noise(300)}
	entries["dir"] = d
	entries["link"] = node(symlink|0o777, erofs.Inode{Target: "capability-0", Xattrs: map[string][]byte{"trusted.t": noise(3000)}})
	return directory(entries)
}

func deep(levels int) *erofs.Inode {
	if levels == 0 {
		return file(text("at the bottom"))
	}
	return directory(map[string]*erofs.Inode{strings.Repeat("d", levels): deep(levels - 1)})
}
