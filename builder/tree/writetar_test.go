package tree

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/internal/testkit"
)

// everything is a tree with all that a node can be.
var everything = []string{
	"d . mode=0711 uid=1; d a mode=1777 mtime=-5.5; f a/setuid=x mode=4755 uid=4294967294 gid=70000 mtime=1.25 xattr:security.capability=cap xattr:user.a=b; h a/hard->a/setuid; l a/link->../../x mtime=3; h a/hardlink->a/link",
	"c dev/null=1:3 mode=0666; b dev/sda=8:1048575 mode=0660 gid=6; c dev/big=4095:256; p fifo mode=0600 uid=7; h afifo->fifo; f empty=; d name/" + strings.Repeat("long/", 50) + strings.Repeat("n", 200),
}

// TestWriteTar writes a tree, applies what was written to an empty one, and
// writes that: the same tree, and the same bytes.
func TestWriteTar(t *testing.T) {
	tree, err := build(t, Policy{}, lists(everything...)...)
	if err != nil {
		t.Fatal(err)
	}
	first := written(t, tree)
	again := New(Policy{})
	if err := again.Apply(layerOf("tar", 1, first)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree.lines(), again.lines()); diff != "" {
		t.Errorf("read back, -want +got:\n%s", diff)
	}
	if !bytes.Equal(first, written(t, again)) {
		t.Error("the tar of the tar of a tree is another one")
	}
}

func written(t *testing.T, tree *Tree) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tree.WriteTar(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestWriteTarOracle lets GNU tar unpack what WriteTar writes.
func TestWriteTarOracle(t *testing.T) {
	tool := testkit.Tool(t, "tar")
	testkit.Root(t, "for tar to restore owners and devices")
	tree, err := build(t, Policy{}, lists(everything...)...)
	if err != nil {
		t.Fatal(err)
	}
	// Not every file system under a test takes these.
	tree.Walk(func(_ string, n *Node) error { n.Xattrs = nil; return nil })
	dir := t.TempDir()
	cmd := exec.Command(tool, "--numeric-owner", "--warning=no-timestamp", "-xpf", "-", "-C", dir)
	cmd.Stdin = bytes.NewReader(written(t, tree))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	got, err := readDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := tree.lines()[1:] // without the root
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-written +unpacked:\n%s", diff)
	}
}

func TestClampTimes(t *testing.T) {
	tree, err := build(t, Policy{}, lists("d a mtime=10; f a/old=1 mtime=-3; f a/new=1 mtime=9.5; l a/at->x mtime=9")...)
	if err != nil {
		t.Fatal(err)
	}
	tree.ClampTimes(time.Unix(9, 0))
	want := []string{"d a mtime=9", "l a/at->x mtime=9", "f a/new=1 mtime=9", "f a/old=1 mtime=-3"}
	if diff := cmp.Diff(want, tree.lines()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSparse applies sparse files as GNU tar writes them, and reads them at random.
func TestSparse(t *testing.T) {
	tool := testkit.Tool(t, "tar")
	dir := t.TempDir()
	want := make([]byte, 3<<20)
	random := rand.NewChaCha8([32]byte{1})
	for at := 0; at < len(want); at += 512 << 10 {
		random.Read(want[at : at+5000])
	}
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(want); at += 4096 {
		if block := want[at : at+4096]; !bytes.Equal(block, make([]byte, 4096)) {
			f.WriteAt(block, int64(at))
		}
	}
	f.Truncate(int64(len(want)))
	f.Close()
	for _, format := range []string{"--format=gnu", "--format=posix --sparse-version=0.1", "--format=posix --sparse-version=1.0"} {
		args := append(strings.Fields(format), "--sparse", "-C", dir, "-cf", "-", "sparse")
		data, err := exec.Command(tool, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		tree := New(Policy{})
		if err := tree.Apply(layerOf("tar", 1, data)); err != nil {
			t.Fatal(err)
		}
		n := tree.Lookup("sparse")
		if n == nil || n.Size != int64(len(want)) || len(n.content.pieces) < 6 {
			t.Fatalf("%s: %+v; want 6 pieces of %d bytes", format, n, len(want))
		}
		got, err := io.ReadAll(n.Reader())
		if err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
			t.Errorf("%s: %d bytes, %v; want %d", format, len(got), err, len(want))
		}
		for range 200 {
			at, size := rand.IntN(len(want)), rand.IntN(1<<19)
			part := make([]byte, size)
			n, err := n.Reader().ReadAt(part, int64(at))
			if end := min(at+size, len(want)); n != end-at || !bytes.Equal(part[:n], want[at:end]) || (err != nil) != (end < at+size) {
				t.Fatalf("%s: ReadAt(%d bytes, %d) = %d, %v", format, size, at, n, err)
			}
		}
	}
}

// TestShortenedLayer takes bytes away from a layer after it has been applied.
func TestShortenedLayer(t *testing.T) {
	data := archive(t, "f a=0123456789")
	l := layerOf("base", 1, data)
	l.Blob = bytes.NewReader(data[:515])
	l.Size = int64(len(data))
	tree := New(Policy{})
	if err := tree.Apply(l); err == nil || !strings.Contains(err.Error(), "layer 1 of base") {
		t.Errorf("Apply of a shortened layer = %v; want an error", err)
	}
	shrinking := &shrinking{data: data}
	l.Blob = shrinking
	tree = New(Policy{})
	if err := tree.Apply(l); err != nil {
		t.Fatal(err)
	}
	shrinking.data = data[:515]
	if _, err := io.ReadAll(tree.Lookup("a").Reader()); err != io.ErrUnexpectedEOF {
		t.Errorf("read of a shortened layer: %v; want %v", err, io.ErrUnexpectedEOF)
	}
	if err := tree.WriteTar(io.Discard); err == nil {
		t.Error("WriteTar of a shortened layer: no error")
	}
}

type shrinking struct{ data []byte }

func (s *shrinking) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.data).ReadAt(p, off)
}

// TestEROFS checks that nothing is lost on the way to disk/erofs.
func TestEROFS(t *testing.T) {
	tree, err := build(t, Policy{}, lists(everything...)...)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.EROFS(".")
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[*erofs.Inode]*Node{}
	var compare func(name string, i *erofs.Inode, n *Node)
	compare = func(name string, i *erofs.Inode, n *Node) {
		if before := inodes[i]; before != nil && before != n {
			t.Errorf("%s: one inode for two nodes", name)
		}
		inodes[i] = n
		same := i.Mode == n.Mode && i.UID == n.UID && i.GID == n.GID && i.Mtime.Equal(n.Mtime) && i.Rdev == n.Rdev &&
			i.Target == n.Target && i.Size == n.Size && len(i.Children) == len(n.Children) && (i.Open != nil) == (n.Type() == TypeRegular) &&
			maps.EqualFunc(i.Xattrs, n.Xattrs, bytes.Equal)
		if !same {
			t.Errorf("%s: %+v; want %+v", name, i, n)
		}
		for child := range n.Children {
			compare(name+"/"+child, i.Children[child], n.Children[child])
		}
	}
	compare(".", root, tree.Root())
	nodes := map[*Node]bool{}
	tree.Walk(func(_ string, n *Node) error { nodes[n] = true; return nil })
	if len(inodes) != len(nodes) {
		t.Errorf("%d inodes; want %d", len(inodes), len(nodes))
	}
	for _, name := range []string{"nothing", "fifo", "a/link"} {
		if _, err := tree.EROFS(name); err == nil {
			t.Errorf("EROFS(%q): no error", name)
		}
	}
}

func TestDevice(t *testing.T) {
	for _, tt := range []struct{ major, minor, want uint32 }{
		{1, 3, 0x103}, {8, 255, 0x8ff}, {8, 256, 0x100800}, {4095, 1<<20 - 1, 0xffffffff}, {0, 1 << 19, 0x80000000},
	} {
		n := &Node{Rdev: Device(tt.major, tt.minor)}
		if n.Rdev != tt.want || n.Major() != tt.major || n.Minor() != tt.minor {
			t.Errorf("Device(%d, %d) = %#x: %d, %d; want %#x", tt.major, tt.minor, n.Rdev, n.Major(), n.Minor(), tt.want)
		}
	}
}

// BenchmarkApply applies a layer of 20,000 files.
func BenchmarkApply(b *testing.B) {
	var lines []string
	for i := range 20_000 {
		lines = append(lines, fmt.Sprintf("f usr/lib/dir%d/sub%d/file%d=content", i%50, i%7, i))
	}
	l := layerOf("base", 1, archive(b, lines...))
	for b.Loop() {
		if err := New(Policy{}).Apply(l); err != nil {
			b.Fatal(err)
		}
	}
}
