package qemutests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/erofs/manifest"
	"github.com/ketch-os/ketch/disk/erofs/sample"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// TestErofsReaders lets three readers list every file of usr, and of a tree with
// each kind of thing that the format can hold: ours, the tools of erofs-utils,
// and the kernel that we ship.
func TestErofsReaders(t *testing.T) {
	t.Parallel()
	drive := sampleDrive(t)
	o := direct(t, newDisk(t))
	o.Extra = []string{"-drive", "if=none,id=sample,format=raw,readonly=on,file=" + drive, "-device", "virtio-blk-pci,drive=sample"}
	m := start(t, o)
	m.shell("mkdir /tmp/sample && mount -r -t erofs /dev/vdb /tmp/sample")
	for _, test := range []struct{ name, file, mounted string }{
		{"usr", partition(t, imagePath(t), layout.NumUsrA), "/usr"},
		{"sample", drive, "/tmp/sample"},
	} {
		var kernel []manifest.Entry
		if err := json.Unmarshal([]byte(m.shell("/tmp/sample/lister "+test.mounted)), &kernel); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		t.Run(test.name, func(t *testing.T) {
			usr := openErofs(t, test.file)
			ours, err := manifest.OfImage(usr)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ours, kernel); diff != "" || len(ours) < 100 {
				t.Errorf("%d files; the kernel's view (-ours +kernel's):\n%.4000s", len(ours), diff)
			}
			t.Run("fsck.erofs", func(t *testing.T) { extractsAlike(t, test.file, ours) })
			t.Run("dump.erofs", func(t *testing.T) { dumpsAlike(t, test.file, usr) })
		})
	}
}

// sampleDrive is an image of the sample tree, with the lister in it.
func sampleDrive(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	lister := guestProgram(t, "./lister")
	tree := sample.Tree()
	tree.Children["lister"] = &erofs.Inode{
		Mode: 0o100755, Size: int64(len(lister)), Mtime: sample.Built(), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(lister)), nil
		},
	}
	f, err := os.Create(filepath.Join(dir, "drive"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := erofs.Write(f, tree, sample.Options()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func openErofs(t *testing.T, name string) *erofs.FS {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	usr, err := erofs.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return usr
}

const (
	typeMask = 0o170000
	typeDir  = 0o040000
	setID    = 0o6000
)

// extractsAlike compares what fsck.erofs makes of an image. Version 1.5 does not
// restore hard links and extended attributes, and loses the set-ID bits because
// it changes the owner last.
func extractsAlike(t *testing.T, image string, want []manifest.Entry) {
	testkit.Root(t, "to extract owners and devices")
	dir := filepath.Join(t.TempDir(), "tree")
	runTool(t, "fsck.erofs", "--extract="+dir, "--preserve", image)
	got, err := manifest.OfDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	comparable := func(entries []manifest.Entry) []manifest.Entry {
		list := make([]manifest.Entry, len(entries))
		for i, e := range entries {
			e.Inode, e.Links, e.Xattrs = "", 0, nil
			if e.Mode&typeMask == typeDir {
				e.Size = 0
			} else {
				e.Mode &^= setID
			}
			list[i] = e
		}
		return list
	}
	if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" {
		t.Errorf("fsck.erofs --extract (-ours +its):\n%.4000s", diff)
	}
}

// dumpsAlike compares what dump.erofs says of every inode. It shows neither
// set-ID bits nor the content of extended attributes.
func dumpsAlike(t *testing.T, image string, usr *erofs.FS) {
	tool := testkit.Tool(t, "dump.erofs")
	seen := map[uint64]bool{}
	err := usr.Walk(func(name string, s *erofs.Stat) error {
		if seen[s.NID] {
			return nil
		}
		seen[s.NID] = true
		xattrs, err := usr.Xattrs(s)
		if err != nil {
			return err
		}
		dump := exec.Command(tool, fmt.Sprintf("--nid=%d", s.NID), image)
		dump.Env = append(os.Environ(), "TZ=UTC")
		out, err := dump.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %w: %s", dump, err, out)
		}
		if got, want := dumped(out), dumpOf(s, len(xattrs) > 0); got != want {
			t.Errorf("%s: dump.erofs says %q; want %q", name, got, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// dumped picks what is compared out of what dump.erofs prints.
func dumped(out []byte) string {
	fields := regexp.MustCompile(`(?s)Size: (\d+) .*NID: (\d+) +Links: (\d+) .*Xattr size: (\d+).*Uid: (\d+) +Gid: (\d+) +Access: (\d+).*Timestamp: ([^\n]*)`).FindStringSubmatch(string(out))
	if fields == nil {
		return strings.TrimSpace(string(out))
	}
	if fields[4] != "0" {
		fields[4] = "attributes"
	}
	return strings.Join(fields[1:], " ")
}

func dumpOf(s *erofs.Stat, attributes bool) string {
	xattrs := "0"
	if attributes {
		xattrs = "attributes"
	}
	return fmt.Sprintf("%d %d %d %s %d %d %04o %s", s.Size, s.NID, s.Nlink, xattrs, s.UID, s.GID, s.Mode&0o777, s.Mtime.Format("2006-01-02 15:04:05.000000000"))
}
