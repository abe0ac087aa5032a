package oslayers

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/tree"
)

// listed is what a test compares of a tar entry.
type listed struct {
	Name, Link, Content string
	Type                byte
	Mode                int64
}

// list reads a tar.
func list(t *testing.T, r io.Reader) []listed {
	t.Helper()
	var all []listed
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, listed{h.Name, h.Linkname, string(content), h.Typeflag, h.Mode})
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "root" || h.Gname != "root" || h.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d:%d (%s:%s), time %v; want root, 1970", h.Name, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime)
		}
	}
}

func TestWriteLayer(t *testing.T) {
	twin := regular(0o4755, []byte("su"))
	c := newContents()
	for _, e := range []struct {
		name string
		file *tree.Node
	}{
		{"usr/bin/sudo", twin},
		{"usr/bin/su", twin},
		{"usr/bin-extra", regular(0o600, nil)},
		{"usr/sbin/init", link("../lib/ketch/init")},
		{"usr/empty", directory(0o700)},
		{"boot/" + strings.Repeat("long/", 60) + "name", regular(0o644, []byte("x"))},
	} {
		if err := c.add(e.name, e.file); err != nil {
			t.Fatal(err)
		}
	}
	var first, second bytes.Buffer
	if err := c.WriteLayer(&first); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteLayer(&second); err != nil {
		t.Fatal(err)
	}
	// The bytes are those of the first release: a layer that nobody has changed
	// keeps its digest.
	if got, want := fmt.Sprintf("%x", sha256.Sum256(first.Bytes())), "87d80ca0e06452637e50b9624ff9888be53e4912043f95b3dd6b4ff69a2b2e34"; got != want {
		t.Errorf("SHA-256 of the layer is %s; want %s", got, want)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("WriteLayer twice: different bytes")
	}
	var got []listed
	for _, e := range list(t, &first) {
		if !strings.Contains(e.Name, "long/") {
			got = append(got, e)
		}
	}
	want := []listed{
		{"boot/", "", "", tar.TypeDir, 0o755},
		{"usr/", "", "", tar.TypeDir, 0o755},
		{"usr/bin/", "", "", tar.TypeDir, 0o755},
		{"usr/bin-extra", "", "", tar.TypeReg, 0o600},
		{"usr/bin/su", "", "su", tar.TypeReg, 0o4755},
		{"usr/bin/sudo", "usr/bin/su", "", tar.TypeLink, 0o4755},
		{"usr/empty/", "", "", tar.TypeDir, 0o700},
		{"usr/sbin/", "", "", tar.TypeDir, 0o755},
		{"usr/sbin/init", "../lib/ketch/init", "", tar.TypeSymlink, 0o777},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestAddRefuses(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"usr/taken", "has it already"},
		{"usr/taken/below", "usr/taken is not a directory"},
		{"etc/passwd", "not a clean path"},
		{"/usr/x", "not a clean path"},
		{"usr/../etc/x", "not a clean path"},
		{"usr//x", "not a clean path"},
		{"usr/x/", "not a clean path"},
		{"", "not a clean path"},
		{".", "not a clean path"},
		{"usrx", "not a clean path"},
	} {
		c := newContents()
		if err := c.add("usr/taken", regular(plain, nil)); err != nil {
			t.Fatal(err)
		}
		err := c.add(test.name, regular(plain, nil))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("add(%q) = %v; want an error with %q", test.name, err, test.want)
		}
	}
}

func TestRelative(t *testing.T) {
	for _, test := range []struct{ dir, name, want string }{
		{"usr/bin", "usr/bin/busybox", "busybox"},
		{"usr/sbin", "usr/lib/ketch/init", "../lib/ketch/init"},
	} {
		if got, err := relative(test.dir, test.name); got != test.want || err != nil {
			t.Errorf("relative(%q, %q) = %q, %v; want %q", test.dir, test.name, got, err, test.want)
		}
	}
	if _, err := relative("tmp", "usr/x"); err == nil {
		t.Error("relative(tmp, usr/x): no error")
	}
}
