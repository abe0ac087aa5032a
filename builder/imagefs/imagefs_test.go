package imagefs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/erofs/manifest"
	"github.com/ketch-os/ketch/disk/erofs/sample"
	"github.com/ketch-os/ketch/internal/testkit"
)

// bareImage writes a tree as a bare file system.
func bareImage(t *testing.T, root *erofs.Inode) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := erofs.Write(f, root, sample.Options()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func open(t *testing.T, name string) *Tree {
	t.Helper()
	tree, err := Open(name, "", limit.Default)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// listed is what an image holds, as our reader sees it.
func listed(t *testing.T, name string) []manifest.Entry {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	usr, err := erofs.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	entries, err := manifest.OfImage(usr)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// change applies a change to a copy of each entry.
func change(entries []manifest.Entry, f func(*manifest.Entry)) []manifest.Entry {
	list := slices.Clone(entries)
	for i := range list {
		f(&list[i])
	}
	return list
}

// ofDirectories leaves out what a file system decides itself about directories.
func ofDirectories(e *manifest.Entry) {
	if e.Mode&typeMask == typeDir {
		e.Size, e.Links = 0, 0
	}
}

func extract(t *testing.T, image string, asRoot bool, paths ...string) (dir string, lost []string, leftOut bool) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "out")
	t.Cleanup(func() { makeRemovable(dir) })
	x := Extraction{Dir: dir, AsRoot: asRoot, Lost: func(path, what string) { lost = append(lost, path+": "+what) }}
	leftOut, err := x.Run(t.Context(), open(t, image), paths...)
	if err != nil {
		t.Fatal(err)
	}
	return dir, lost, leftOut
}

// makeRemovable gives directories back the modes that others than root need to
// remove what is in them.
func makeRemovable(dir string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
}

// TestExtractAsRoot compares the files of this machine with the image's.
func TestExtractAsRoot(t *testing.T) {
	testkit.Root(t, "to extract owners and devices")
	image := bareImage(t, sample.Tree())
	dir, lost, leftOut := extract(t, image, true, "/")
	if leftOut {
		t.Error("something was left out for want of root")
	}
	got, err := manifest.OfDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Few file systems take as large attributes as EROFS; that is said.
	attribute := regexp.MustCompile(`^/(.*): extended attribute (user\..*), which the file system does not take$`)
	leave := func(e *manifest.Entry) {
		ofDirectories(e)
		e.Xattrs = maps.Clone(e.Xattrs)
		for _, line := range lost {
			if match := attribute.FindStringSubmatch(line); match == nil {
				t.Errorf("lost %q", line)
			} else if match[1] == e.Path {
				delete(e.Xattrs, match[2])
			}
		}
		if len(e.Xattrs) == 0 {
			e.Xattrs = nil
		}
	}
	if diff := cmp.Diff(change(listed(t, image), leave), change(got, leave)); diff != "" {
		t.Errorf("extracted (-image +got):\n%.4000s", diff)
	}
}

// TestExtractWithoutRoot keeps everything but what only root may do.
func TestExtractWithoutRoot(t *testing.T) {
	image := bareImage(t, sample.Tree())
	dir, lost, leftOut := extract(t, image, false, "/")
	if !leftOut {
		t.Error("nothing is said of owners and attributes")
	}
	want := []string{
		"/nodes/large: device, which only root can make", "/nodes/loop: device, which only root can make", "/nodes/null: device, which only root can make",
	}
	if !slices.Equal(lost, want) {
		t.Errorf("lost %q; want %q", lost, want)
	}
	leave := func(e *manifest.Entry) {
		ofDirectories(e)
		e.UID, e.GID, e.Xattrs = 0, 0, nil
		e.Mode &^= setID
	}
	devices := func(e manifest.Entry) bool { return e.Device != 0 }
	entries := slices.DeleteFunc(change(listed(t, image), leave), devices)
	testkit.Root(t, "to read files of mode 0 again")
	got, err := manifest.OfDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, change(got, leave)); diff != "" {
		t.Errorf("extracted (-image +got):\n%.4000s", diff)
	}
}

// TestExtractHardLinks extracts two of five names: they stay one file.
func TestExtractHardLinks(t *testing.T) {
	dir, _, _ := extract(t, bareImage(t, sample.Tree()), false, "/hard/other/c", "/hard2")
	a, err := os.Stat(filepath.Join(dir, "hard/other/c"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(filepath.Join(dir, "hard2"))
	if err != nil || !os.SameFile(a, b) {
		t.Errorf("hard2 is another file than hard/other/c: %v", err)
	}
}

// TestExtractInterrupted ends after a file that was begun: it is not left half.
func TestExtractInterrupted(t *testing.T) {
	image := bareImage(t, sample.Tree())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "out")
	x := Extraction{Dir: dir, Lost: func(string, string) {}}
	if _, err := x.Run(ctx, open(t, image), "/"); !errors.Is(err, context.Canceled) {
		t.Errorf("Run() = %v; want %v", err, context.Canceled)
	}
	tree := open(t, image)
	f, err := tree.Lookup("/hard1", true)
	if err != nil {
		t.Fatal(err)
	}
	if x.root, err = os.OpenRoot(dir); err != nil {
		t.Fatal(err)
	}
	defer x.root.Close()
	if err := x.enter(f); err != nil {
		t.Fatal(err)
	}
	defer x.in.close()
	if err := x.regular(f); !errors.Is(err, context.Canceled) {
		t.Errorf("regular() = %v; want %v", err, context.Canceled)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// TestExtractStaysInside sets traps in the directory: links that lead out of it.
func TestExtractStaysInside(t *testing.T) {
	image := bareImage(t, sample.Tree())
	for _, test := range []struct{ link, path, want string }{
		{"files", "/files", "file already exists"},
		{"files", "/files/4097", "escapes"},
		{"hard1", "/hard1", "file exists"},
		{"nodes", "/nodes/fifo", "escapes"},
		{"links", "/links/up", "escapes"},
		{"deep/" + strings.Repeat("d", 40), "/deep", "file already exists"},
	} {
		dir, outside := t.TempDir(), t.TempDir()
		link := filepath.Join(dir, test.link)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(outside, link)); err != nil {
			t.Fatal(err)
		}
		x := Extraction{Dir: dir, Lost: func(string, string) {}}
		if _, err := x.Run(t.Context(), open(t, image), test.path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("extract %s over the link %s = %v; want %q", test.path, test.link, err, test.want)
		}
		if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
			t.Errorf("extract %s over the link %s made %v outside: %v", test.path, test.link, entries, err)
		}
	}
}

// TestChmodFollowsNoLink puts a link where a file was.
func TestChmodFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := errors.Join(os.WriteFile(victim, nil, 0o600), os.Symlink("victim", filepath.Join(dir, "file"))); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := chmod(int(d.Fd()), "file", typeRegular|0o777); err == nil {
		t.Error("chmod followed a link")
	}
	if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the link's target has mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestLookup(t *testing.T) {
	tree := open(t, bareImage(t, sample.Tree()))
	for _, test := range []struct {
		path   string
		follow bool
		want   string // path, or error
	}{
		{"/", true, "/"}, {"", true, "/"}, {"files/1", true, "/files/1"}, {"//files/.//1", true, "/files/1"},
		{"/../../files/1", true, "/files/1"}, {"links/up", true, "/files/4097"}, {"links/up", false, "/links/up"},
		{"links/chain", true, "/files/4097"}, {"links/absolute", true, "/files/1"}, {"hard/link", false, "/hard/link"},
		{"links/../files", true, "/files"}, {"names/\xff\xfe", true, "/names/\xff\xfe"},
		{"links/loop", true, "too many levels"}, {"links/loop/x", false, "too many levels"}, {"links/nothing", true, "not exist"},
		{"files/1/x", true, "not a directory"}, {"bin", true, "not exist"}, {"links/out", true, "not exist"},
	} {
		f, err := tree.Lookup(test.path, test.follow)
		switch {
		case strings.HasPrefix(test.want, "/") && (err != nil || f.Path != test.want):
			t.Errorf("Lookup(%q, %t) = %v, %v; want %s", test.path, test.follow, f, err, test.want)
		case !strings.HasPrefix(test.want, "/") && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("Lookup(%q, %t) = %v, %v; want %q", test.path, test.follow, f, err, test.want)
		}
	}
}

func TestWalkDepth(t *testing.T) {
	tree := open(t, bareImage(t, sample.Tree()))
	for depth, want := range map[int][]string{
		0: {"/hard"}, 1: {"/hard", "/hard/a", "/hard/b", "/hard/link", "/hard/link2", "/hard/other"},
		-1: {"/hard", "/hard/a", "/hard/b", "/hard/link", "/hard/link2", "/hard/other", "/hard/other/c"},
	} {
		var got []string
		err := tree.Walk("/hard", depth, func(f *File) error { got = append(got, f.Path); return nil })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Walk to depth %d = %q, %v; want %q", depth, got, err, want)
		}
	}
}

func TestOpenContent(t *testing.T) {
	tree := open(t, bareImage(t, sample.Tree()))
	f, err := tree.Lookup("/hard1", true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if content, err := io.ReadAll(r); err != nil || string(content) != "one inode, five names\n" {
		t.Errorf("content %q, %v", content, err)
	}
	if f, err = tree.Lookup("/nodes/null", true); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(); err == nil || !f.IsDevice() {
		t.Errorf("a device opens as a file: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	whole, err := os.ReadFile(bareImage(t, sample.Tree()))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty": nil, "no image": make([]byte, 1<<16), "cut": whole[:1<<14]} {
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, "", limit.Default); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) = %v; want an error with the path", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), "", limit.Default); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing = %v", err)
	}
}
